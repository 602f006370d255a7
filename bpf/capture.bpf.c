// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

//go:build ignore

// One object, so that all programs share the ring and its order.

#include "packets.h"
#include "sockets.h"
#include "processes.h"
#include "keys_openssl3.h"
#include "keys_openssl1.h"
#include "keys_gnutls.h"
#include "keys_go.h"
#include "keys_logsecret.h"

// Pointers that keep the records' types in BTF, where the test of abi.go finds them.
const struct packet_record *abi_packet __attribute__((unused));
const struct socket_record *abi_socket __attribute__((unused));
const struct secret_record *abi_secret __attribute__((unused));
const struct process_record *abi_process __attribute__((unused));

char LICENSE[] SEC("license") = "GPL";
