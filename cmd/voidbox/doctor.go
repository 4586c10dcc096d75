package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/cmd/voidbox/internal/doctor"
	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/internal/kvmhost"
)

func (c *cli) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what this machine can do, and how to mend what it cannot",
		Long: "doctor looks at KVM, QEMU, the guest kernel, the guest agent, the cache and the plugins. It changes nothing. It exits with 3\n" +
			"when VMs cannot run on this machine.",
		Example: "  voidbox doctor\n" +
			"  voidbox doctor --json | jq -r '.findings[] | select(.fix).fix'",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := doctor.Examine(cmd.Context(), c.machine())
			if err := c.printFindings(findings, asJSON); err != nil {
				return err
			}
			if !doctor.Healthy(findings) {
				return failShown(exitMachine)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// machine is the one that this process runs on.
func (c *cli) machine() doctor.Machine {
	m := doctor.Machine{
		KVM:      func() error { return kvmhost.Local().Check() },
		LookPath: exec.LookPath,
		QEMU:     doctor.QEMUVersion,
		Agent:    guestAgent,
		CacheDir: cacheDir(),
		FreeDisk: doctor.FreeDisk,
		Plugins:  c.installedPlugins,
	}
	images, err := image.OpenCache("")
	if err != nil {
		m.Kernel = func(context.Context) (string, error) { return "", errors.New("the cache cannot be used") }
		m.Writable = func(string) error { return err }
		return m
	}
	m.Writable = writable
	m.Kernel = func(ctx context.Context) (string, error) {
		kernel, err := images.CachedKernel(ctx)
		return fmt.Sprintf("%s (%s), %s", kernel.Release, kernel.Origin, kernel.Path), err
	}
	return m
}

// guestAgent finds the program that runs in VMs, which is beside this one.
func guestAgent() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(exe), image.AgentName)
	_, err = os.Stat(path)
	return path, err
}

func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

func (c *cli) installedPlugins(ctx context.Context) ([]doctor.Plugin, error) {
	host, err := c.pluginHost()
	if err != nil {
		return nil, err
	}
	defer host.Close(ctx)
	var plugins []doctor.Plugin
	found, err := host.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		plugins = append(plugins, doctor.Plugin{Kind: string(p.Kind), Name: p.Name, Version: p.Description.Version, Path: p.Path, Err: p.Err})
	}
	return plugins, nil
}

func (c *cli) printFindings(findings []doctor.Finding, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(c.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(map[string]any{"healthy": doctor.Healthy(findings), "findings": findings})
	}
	marks := map[doctor.Status]string{doctor.OK: "✓", doctor.Warn: "!", doctor.Fail: "✗"}
	for _, f := range findings {
		fmt.Fprintf(c.stdout, "%s %s: %s\n", marks[f.Status], f.Check, f.Detail)
		if f.Fix != "" {
			fmt.Fprintf(c.stdout, "    %s\n", f.Fix)
		}
	}
	return nil
}
