package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/internal/livevm"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// boots boots a VM, asks it something and ends it, n times.
func boots(ctx context.Context, l *livevm.Launcher, o options) error {
	var took []float64
	for i := range o.n {
		vm, err := l.Boot(ctx, o.request())
		if err == nil {
			took = append(took, vm.Took.Seconds()*1e3)
			err = errors.Join(answers(ctx, vm), vm.Close(ctx))
		}
		if err != nil {
			return fmt.Errorf("boot %d of %d: %w", i+1, o.n, err)
		}
	}
	fmt.Printf("%d boots in a row, none failed; median %.0f ms\n", o.n, benchtable.Median(took))
	return nil
}

// answers has a command print something that only a working guest can.
func answers(ctx context.Context, vm *livevm.VM) error {
	out, err := inGuest(ctx, vm, "echo $((6*7)) $(cat /proc/sys/kernel/ostype)")
	if err == nil && out != "42 Linux" {
		err = fmt.Errorf("the guest answers %q", out)
	}
	return err
}

// inGuest runs a shell line as root and returns its output.
func inGuest(ctx context.Context, vm *livevm.VM, line string) (string, error) {
	var out, errs bytes.Buffer
	exit, err := vm.Exec(ctx, sandbox.Command{Args: []string{"/bin/sh", "-c", line}, User: "root"}, sandbox.IO{Stdout: &out, Stderr: &errs})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("%q in the guest: exit %d: %s", line, exit.Code, errs.String())
	}
	return strings.TrimSpace(out.String()), err
}

// crowd has n VMs at once, all of which must answer before the first of them ends.
func crowd(ctx context.Context, l *livevm.Launcher, o options) error {
	vms := make([]*livevm.VM, o.n)
	errs := make([]error, o.n)
	all := func(fn func(i int) error) error {
		var wg sync.WaitGroup
		for i := range o.n {
			wg.Go(func() { errs[i] = fn(i) })
		}
		wg.Wait()
		return errors.Join(errs...)
	}
	start := time.Now()
	err := all(func(i int) (err error) { vms[i], err = l.Boot(ctx, o.request()); return err })
	ready := time.Since(start)
	if err == nil {
		err = all(func(i int) error { return answers(ctx, vms[i]) })
	}
	for i, vm := range vms {
		if vm != nil {
			errs[i] = vm.Close(ctx)
		}
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	fmt.Printf("%d VMs at once, all answered; all ready after %.1f s\n", o.n, ready.Seconds())
	return nil
}

// matrix boots each kernel in each size, and prints a table. A packed kernel is booted twice: by the monitor as it is, and as the ELF
// file that is in it.
func matrix(ctx context.Context, l *livevm.Launcher, o options) error {
	fmt.Printf("%-18s %-9s %5s %9s  %8s  %s\n", "kernel", "as", "vCPUs", "memory", "ready ms", "the guest says")
	var failed error
	for _, kernel := range o.args {
		forms := []string{"vmlinux"}
		if !strings.HasPrefix(filepath.Base(kernel), "vmlinux") {
			forms = append(forms, "bzImage")
		}
		for _, form := range forms {
			failed = errors.Join(failed, sizes(ctx, l, o, kernel, form))
		}
	}
	return failed
}

// sizes boots one kernel in one form with all vCPUs and memories.
func sizes(ctx context.Context, l *livevm.Launcher, o options, kernel, form string) (failed error) {
	name := filepath.Base(filepath.Dir(kernel))
	for _, memory := range []uint64{128, 1 << 10, 5 << 10} {
		for _, cpus := range []int{1, 2, 4} {
			r := o.request()
			r.Spec.Kernel, r.Spec.MemoryBytes, r.Spec.CPUs = kernel, memory<<20, cpus
			if form == "bzImage" {
				r.Kernel = kernel
			}
			ms, said, err := bootOnce(ctx, l, r)
			if err != nil {
				said, failed = "FAILED", errors.Join(failed, fmt.Errorf("%s as %s, %d vCPUs, %d MiB: %w", name, form, cpus, memory, err))
			}
			fmt.Printf("%-18s %-9s %5d %5d MiB  %8.0f  %s\n", name, form, cpus, memory, ms, said)
		}
	}
	return failed
}

func bootOnce(ctx context.Context, l *livevm.Launcher, r livevm.Request) (ms float64, said string, err error) {
	vm, err := l.Boot(ctx, r)
	if err != nil {
		return 0, "", err
	}
	said, err = inGuest(ctx, vm, "echo $(uname -r) $(grep -c ^processor /proc/cpuinfo) CPUs $(awk '/MemTotal/ {print int($2/1024)}' /proc/meminfo) MiB")
	if want := fmt.Sprintf(" %d CPUs ", r.Spec.CPUs); err == nil && !strings.Contains(said, want) {
		err = fmt.Errorf("the guest says %q, want %q", said, want)
	}
	return vm.Took.Seconds() * 1e3, said, errors.Join(err, vm.Close(ctx))
}
