// SPDX-License-Identifier: Apache-2.0

// Command packages installs the deb and rpm packages in a virtual machine that runs systemd, starts their services as
// shipped, captures, and removes them. guest.sh says what is seen there. `make deb rpm` makes the packages before.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/tests/vm"
)

// line is the kernel: tmpfs, which the machine's root is, has the extended attributes that local_s3 needs since 6.6.
const line = "6.12"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "qpoint-packages-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	i := slices.IndexFunc(vm.Machines, func(m vm.Machine) bool { return m.Line == line })
	machine := vm.Machines[i]
	initrd := filepath.Join(dir, "initramfs")
	if err := build(initrd); err != nil {
		return fmt.Errorf("build the initramfs: %w", err)
	}
	images, err := vm.Fetch(ctx, []vm.Machine{machine})
	if err != nil {
		return err
	}
	r := machine.Test(ctx, images[line], initrd)
	if r.Err == nil {
		fmt.Printf("packages: deb and rpm installed, captured and removed on %s in %.0f s\n", images[line].Release, r.Took.Seconds())
	}
	return r.Err
}

// units are what the distribution's systemd needs to get to the test and to switch off.
var units = []string{
	"sysinit.target", "basic.target", "network-online.target", "network.target", "shutdown.target", "umount.target", "final.target",
	"poweroff.target", "systemd-poweroff.service", "slices.target", "sockets.target", "paths.target", "timers.target", "multi-user.target",
	"local-fs.target", "local-fs-pre.target", "swap.target",
}

const testUnit = `[Unit]
Description=the test
After=basic.target
Requires=basic.target
[Service]
Type=oneshot
ExecStartPre=/bin/sh -c "echo guest: booted; ip link set lo up"
ExecStart=/bin/sh -c "if sh /test/guest.sh; then echo guest: result ok; else echo guest: result failed; fi; sync; systemctl poweroff --force --force"
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
TimeoutStartSec=infinity
`

const nginxConf = `
daemon on; master_process on; worker_processes 1; user root;
pid /run/nginx.pid; error_log /run/nginx-error.log;
events { worker_connections 64; }
http {
  access_log off;
  server {
    listen 127.0.0.1:8443 ssl; ssl_certificate /test/tls.crt; ssl_certificate_key /test/tls.key;
    location / { return 200 "hello\n"; }
  }
}
`

func build(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	a := vm.NewArchive(f)
	packages, err := filepath.Glob("_build/packages/*.[dr][ep][bm]")
	if err != nil || len(packages) != 4 {
		return fmt.Errorf("_build/packages should hold two deb and two rpm packages, and has %d files: run `make deb rpm`", len(packages))
	}
	for _, p := range packages {
		a.File(p, "/test/"+filepath.Base(p))
	}
	for _, name := range []string{"guest.sh", "gateway.yaml"} {
		a.File("tests/packages/"+name, "/test/"+name)
	}
	if err := addSecrets(a); err != nil {
		return err
	}
	a.Text("/test/nginx.conf", nginxConf)
	a.Link("/init", "usr/lib/systemd/systemd")
	a.Text("/etc/systemd/system/test.service", testUnit)
	a.Text("/etc/systemd/system/default.target", "[Unit]\nRequires=test.service\nAllowIsolate=yes\n")
	a.Text("/etc/systemd/system.conf", "[Manager]\nLogTarget=console\nShowStatus=no\n")
	a.Text("/etc/os-release", "ID=test\nNAME=test\n")
	a.Text("/etc/machine-id", "00000000000000000000000000000001\n")
	a.Text("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
	a.Text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
	a.Text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n")
	a.Text("/etc/group", "root:x:0:\ntty:x:5:\nwww-data:x:33:\nnogroup:x:65534:\n")
	a.Text("/etc/shadow", "root:*:19000:0:99999:7:::\n")
	a.Text("/etc/gshadow", "root:*::\n")
	a.Text("/var/lib/dpkg/status", "")
	for _, d := range []string{
		"/proc", "/sys", "/dev", "/tmp", "/run", "/root", "/var/lib/dpkg/info", "/var/lib/dpkg/updates", "/var/lib/dpkg/triggers", "/var/lib/rpm", "/var/log/nginx",
		"/var/lib/nginx", "/var/tmp", "/etc/default", "/usr/lib/systemd/system", "/home",
	} {
		a.Dir(d)
	}
	for _, u := range units {
		a.File("/lib/systemd/system/"+u, "/lib/systemd/system/"+u)
	}
	for _, p := range []string{
		"/lib/systemd/systemd", "systemctl", "sh", "bash", "ip", "dpkg", "dpkg-deb", "dpkg-split", "tar", "rm", "useradd", "userdel", "groupadd", "groupdel", "getent", "ldconfig",
		"start-stop-daemon", "rpm", "nginx", "curl", "openssl", "stat", "sed", "grep", "find", "cat", "cp", "chown", "chmod", "mkdir", "ls", "rmdir", "sleep", "tail", "head", "sync", "mount", "umount", "true",
		"diff", "zstd", "xz", "gzip", "touch", "readlink",
	} {
		a.Program(p)
	}
	a.Libraries("_build/otelcol-qpoint") // what its packages depend on
	a.File("/bin/sh", "/bin/sh")
	a.File("/etc/ssl/openssl.cnf", "/usr/lib/ssl/openssl.cnf")
	for _, tree := range []string{"/lib/x86_64-linux-gnu/libnss_files.so.2", "/usr/lib/rpm", "/lib/systemd/libsystemd-shared-252.so", "/etc/pam.d", "/usr/lib/x86_64-linux-gnu/security", "/etc/login.defs", "/usr/lib/x86_64-linux-gnu/systemd"} {
		if err := addTree(a, tree); err != nil {
			return err
		}
	}
	return a.Close()
}

// addTree copies a folder of the host, or a file; nothing where there is none.
func addTree(a *vm.Archive, root string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		a.File(path, path)
		return nil
	})
}

// addSecrets makes a certificate of "localhost", and a token and its hash, for this run.
func addSecrets(a *vm.Archive) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), // the machine's clock may be off
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	a.Text("/test/tls.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	a.Text("/test/tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	token := rand.Text() + rand.Text()
	hash := sha256.Sum256([]byte(token))
	a.Text("/test/token", token)
	a.Text("/test/tokens.yaml", fmt.Sprintf("environments:\n  test:\n    tokens:\n      - {name: package-test, sha256: %q}\n", hex.EncodeToString(hash[:])))
	return nil
}
