#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes SHA256SUMS of everything in _build/packages and signs it with an OpenSSH key: scripts/sign.sh KEY.
# Verify: ssh-keygen -Y verify -f allowed_signers -I otelcol-qpoint -n file -s SHA256SUMS.sig < SHA256SUMS && sha256sum -c SHA256SUMS
set -euo pipefail
key=${1:?usage: scripts/sign.sh KEY (a private key of OpenSSH)}
cd "$(dirname "$0")/../_build/packages"
rm -f SHA256SUMS SHA256SUMS.sig
sha256sum -- * >SHA256SUMS.new
mv SHA256SUMS.new SHA256SUMS
ssh-keygen -q -Y sign -f "$key" -n file SHA256SUMS
