// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Machine is a line of kernels and the emulated computer that it boots on.
type Machine struct {
	Line string
	// cpu and smp are what the line was found to boot with: the emulator's newest features make some
	// kernels take paths that it does not emulate well.
	cpu, smp, accel string
	Arch            string // amd64 when empty
}

// Machines are all lines.
var Machines = []Machine{
	{Line: "5.10", cpu: "max", smp: "2", accel: "tcg,thread=multi"},
	{Line: "6.1", cpu: "max,-cx16", smp: "2", accel: "tcg,thread=multi"},
	{Line: "6.12", cpu: "Haswell-v4,-cx16", smp: "2", accel: "tcg,thread=multi"},
	{Line: "7", cpu: "Haswell-v4", smp: "1", accel: "tcg,thread=single"},
	{Line: "arm64", cpu: "cortex-a72", smp: "2", accel: "tcg,thread=multi", Arch: "arm64"},
}

// command is the emulator of the machine.
func (m Machine) command(ctx context.Context, kernel Image, initrd string) *exec.Cmd {
	args := []string{
		"-accel", m.accel, "-cpu", m.cpu, "-smp", m.smp, "-m", "2048",
		"-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-kernel", kernel.Path, "-initrd", initrd,
	}
	const boot = " quiet panic=-1 random.trust_cpu=on mitigations=off"
	if m.Arch == "arm64" {
		return exec.CommandContext(ctx, "qemu-system-aarch64", append(args, "-machine", "virt", "-append", "console=ttyAMA0"+boot)...)
	}
	return exec.CommandContext(ctx, "qemu-system-x86_64", append(args, "-append", "console=ttyS0"+boot)...)
}

const (
	// bootTimeout and testTimeout are far above what is usual: the host may be busy.
	bootTimeout = 2 * time.Minute
	testTimeout = 8 * time.Minute
	// bootFailures are how often a guest may panic or hang before its first process runs: that is the
	// emulator's doing, not that of what is tested.
	bootFailures = 2
)

// Result is what became of one kernel.
type Result struct {
	Took     time.Duration // of the last boot
	Failures int           // to boot
	Rerun    bool          // the tests failed the first time
	Output
	Err error
}

// Output is what matters of what a guest prints.
type Output struct {
	Passed []string // tests
	Stats  []string // of the verifier
}

// Check fails when a test that is expected did not run: a name that matches nothing fails nowhere else.
func (r *Result) Check(expected []string) {
	for _, name := range expected {
		if r.Err == nil && !slices.Contains(r.Passed, name) {
			r.Err = fmt.Errorf("%s did not run", name)
		}
	}
	if r.Err == nil && expected != nil && len(r.Stats) == 0 {
		r.Err = errors.New("no statistics of the verifier")
	}
}

var (
	errBoot  = errors.New("the guest does not get to its first process")
	errTests = errors.New("the tests failed")
)

// Test boots the kernel until it gets to its first process, and waits for the result.
func (m Machine) Test(ctx context.Context, kernel Image, initrd string) Result {
	var r Result
	for {
		fmt.Printf("\n=== %s\n", kernel.Release)
		start := time.Now()
		seen, err := m.boot(ctx, kernel, initrd)
		r.Took, r.Output, r.Err = time.Since(start), seen, err
		if errors.Is(err, errTests) && !r.Rerun && ctx.Err() == nil {
			// An emulated guest is some ten times slower than its clock: a wait that is ample anywhere
			// else can run out once. What fails twice is wrong.
			r.Rerun = true
			fmt.Printf("vm: %s: the tests failed; once more\n", kernel.Release)
			continue
		}
		if !errors.Is(err, errBoot) || r.Failures == bootFailures || ctx.Err() != nil {
			return r
		}
		r.Failures++
		fmt.Printf("vm: %s failed before anything of ours ran (%v); trying again\n", kernel.Release, err)
	}
}

// boot runs the machine once.
func (m Machine) boot(ctx context.Context, kernel Image, initrd string) (seen Output, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := m.command(ctx, kernel, initrd)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return seen, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return seen, fmt.Errorf("start qemu (Debian: qemu-system-x86, qemu-system-arm): %w", err)
	}
	start := time.Now()
	hung := time.AfterFunc(bootTimeout, func() { cancel(errors.New("it hangs")) })
	defer hung.Stop()
	booted, panicked, outcome := false, false, ""
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		fmt.Println(line)
		switch {
		case strings.HasPrefix(line, "guest: booted"):
			booted = true
			hung.Reset(testTimeout)
			fmt.Printf("vm: booted in %.1f s\n", time.Since(start).Seconds())
		case strings.HasPrefix(line, "guest: result "):
			outcome = strings.TrimPrefix(line, "guest: result ")
		case strings.HasPrefix(line, "--- PASS: "):
			seen.Passed = append(seen.Passed, strings.Fields(line)[2])
		case strings.Contains(line, "Kernel panic"):
			panicked = true
		case strings.Contains(line, "instructions verified"):
			_, stat, _ := strings.Cut(line, ".go:")
			_, stat, _ = strings.Cut(stat, ": ")
			seen.Stats = append(seen.Stats, stat)
		}
	}
	err = cmd.Wait()
	switch {
	case outcome == "ok":
		return seen, nil
	case outcome != "":
		return seen, errTests
	case !booted && panicked:
		return seen, fmt.Errorf("%w: panic", errBoot)
	case !booted:
		return seen, fmt.Errorf("%w: %w", errBoot, cmp.Or(context.Cause(ctx), err))
	case ctx.Err() != nil:
		return seen, context.Cause(ctx)
	case panicked:
		return seen, errors.New("the kernel panicked during the tests")
	}
	return seen, errors.Join(errors.New("the guest ended without a result"), err)
}
