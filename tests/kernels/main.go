// SPDX-License-Identifier: Apache-2.0

// Command kernels runs the tests of the capture in virtual machines, on older and newer kernels than the
// host's. See README.md.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/tests/vm"
)

func main() {
	only := flag.String("only", "", "lines of kernels to run, separated by commas; all when empty")
	other := flag.String("plan", "", "a command to run in the guests instead of the tests")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *only, *other)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only, other string) error {
	wanted := vm.Machines
	if only != "" {
		names := strings.Split(only, ",")
		wanted = slices.DeleteFunc(slices.Clone(vm.Machines), func(m vm.Machine) bool { return !slices.Contains(names, m.Line) })
	}
	if len(wanted) == 0 {
		return fmt.Errorf("no line of kernels is called %q", only)
	}
	dir, err := os.MkdirTemp("", "qpoint-kernels-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	start := time.Now()
	initrds := map[string]initramfs{}
	for _, m := range wanted {
		if _, ok := initrds[m.Arch]; ok {
			continue
		}
		i := initramfs{path: filepath.Join(dir, "initramfs-"+m.Arch), arch: m.Arch}
		i.plan, i.expected = plan(m.Arch)
		if other != "" {
			i.plan, i.expected = other, nil
		}
		if err := i.build(ctx, dir); err != nil {
			return fmt.Errorf("build the initramfs: %w", err)
		}
		initrds[m.Arch] = i
	}
	images, err := vm.Fetch(ctx, wanted)
	if err != nil {
		return err
	}
	fmt.Printf("kernels: prepared in %.0f s\n", time.Since(start).Seconds())

	var errs []error
	var table strings.Builder
	for _, m := range wanted {
		r := m.Test(ctx, images[m.Line], initrds[m.Arch].path)
		r.Check(initrds[m.Arch].expected)
		fmt.Fprintf(&table, "%-28s %6.1f s", images[m.Line].Release, r.Took.Seconds())
		if r.Rerun {
			table.WriteString(", second run")
		}
		if r.Failures > 0 {
			fmt.Fprintf(&table, ", after %d failures to boot", r.Failures)
		}
		if r.Err != nil {
			fmt.Fprintf(&table, ", FAILED: %v", r.Err)
			errs = append(errs, fmt.Errorf("%s: %w", images[m.Line].Release, r.Err))
		}
		table.WriteByte('\n')
		for _, line := range r.Stats {
			fmt.Fprintf(&table, "  %s\n", line)
		}
		if ctx.Err() != nil {
			break
		}
	}
	fmt.Print("\n", table.String())
	return errors.Join(errs...)
}

// What a guest runs: what differs between kernels. What does not (protocols, other TLS libraries) is
// tested on the host alone.
var (
	kernelTests = []string{
		"TestVerifier", "TestProbeReport", "TestOpenWithLeastRights", "TestTransfer", "TestPreExisting", "TestPreExistingRoles",
		"TestCloseReasons", "TestProcesses", "TestOtherCollector", "TestNetworkNamespace", "TestOrderUntil", "TestDenySecrets",
	}
	restartTests  = []string{"TestOnThisKernel"}
	receiverTests = []string{"TestE2EGoPeers", "TestE2EOpenSSL", "TestE2EDeferredIPv6"}
)

// On another processor run those that need no program of the host: every program is loaded there, and
// http is captured between Go programs.
var (
	foreignKernelTests   = []string{"TestVerifier"}
	foreignReceiverTests = []string{"TestE2EGoPeers"}
)

func plan(arch string) (commands string, expected []string) {
	kernel, receiver := kernelTests, receiverTests
	if arch != "" {
		kernel, receiver = foreignKernelTests, foreignReceiverTests
	}
	line := func(binary string, tests []string) string {
		return binary + " -test.v -test.timeout=150s -test.run=^(" + strings.Join(tests, "|") + ")$\n"
	}
	commands = line("/test/kernel.test", kernel)
	if arch == "" {
		commands += line("/test/restart.test", restartTests)
		expected = restartTests
	}
	return commands + line("/test/receiver.test", receiver), slices.Concat(expected, kernel, receiver)
}

// initramfs is a root file system of the tests and the programs that they drive.
type initramfs struct {
	path, plan string
	arch       string // "" is the host's, amd64
	expected   []string
}

func (i *initramfs) build(ctx context.Context, dir string) error {
	for _, b := range [][]string{
		{"build", "-ldflags=-s -w", "-o", filepath.Join(dir, "init"), "./tests/kernels/guest"},
		{"test", "-c", "-ldflags=-s -w", "-o", filepath.Join(dir, "kernel.test"), "./receiver/qtapreceiver/internal/kernel"},
		{"test", "-c", "-ldflags=-s -w", "-o", filepath.Join(dir, "restart.test"), "./receiver/qtapreceiver/internal/restart"},
		{"test", "-c", "-ldflags=-s -w", "-o", filepath.Join(dir, "receiver.test"), "./receiver/qtapreceiver"},
	} {
		cmd := exec.CommandContext(ctx, "go", b...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+cmp.Or(i.arch, "amd64"))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", strings.Join(b, " "), err, out)
		}
	}
	f, err := os.Create(i.path)
	if err != nil {
		return err
	}
	defer f.Close()
	a := vm.NewArchive(f)
	a.File(filepath.Join(dir, "init"), "/init")
	a.File(filepath.Join(dir, "kernel.test"), "/test/kernel.test")
	a.File(filepath.Join(dir, "restart.test"), "/test/restart.test")
	a.File(filepath.Join(dir, "receiver.test"), "/test/receiver.test")
	a.Text("/plan", i.plan)
	a.Text("/etc/passwd", "root:x:0:0:root:/:/bin/sh\nwww-data:x:33:33::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
	a.Text("/etc/group", "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n")
	a.Text("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
	a.Text("/etc/machine-id", "00000000000000000000000000000001\n")
	for _, d := range []string{"/proc", "/sys", "/dev", "/tmp", "/run", "/var/log/nginx", "/var/lib/nginx"} {
		a.Dir(d)
	}
	if i.arch != "" { // no programs for it are at hand
		return errors.Join(a.Close(), f.Close())
	}
	for _, p := range []string{"sh", "true", "sleep", "ip", "unshare", "curl", "openssl", "nginx"} {
		a.Program(p)
	}
	a.File("/bin/sh", "/bin/sh")
	a.File("/etc/ssl/openssl.cnf", "/usr/lib/ssl/openssl.cnf")
	if err := addPython(ctx, a); err != nil {
		return err
	}
	if err := a.Close(); err != nil {
		return err
	}
	return f.Close()
}

// pythonModules prints the files of Python's library that the tests' programs load.
const pythonModules = `
import argparse, contextlib, http.client, http.server, runpy, socket, struct, sys, encodings.idna
for m in list(sys.modules.values()):
    for f in (getattr(m, "__file__", None), getattr(m, "__cached__", None)):
        if f: print(f)
`

// addPython adds the Python of the distribution.
func addPython(ctx context.Context, a *vm.Archive) error {
	const python = "/usr/bin/python3"
	out, err := exec.CommandContext(ctx, python, "-I", "-c", pythonModules).Output()
	if err != nil {
		return fmt.Errorf("ask Python for its library: %w", err)
	}
	a.Program(python)
	for _, path := range strings.Fields(string(out)) {
		if _, err := os.Stat(path); err != nil {
			continue // a module that was never compiled
		}
		a.File(path, path)
		if strings.HasSuffix(path, ".so") {
			a.Libraries(path)
		}
	}
	return nil
}
