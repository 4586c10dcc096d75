package startup

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/guest/agent/internal/agent"
	"github.com/voidbox-run/voidbox/guest/agent/internal/cgroup"
	"github.com/voidbox-run/voidbox/guest/agent/internal/console"
	"github.com/voidbox-run/voidbox/guest/agent/internal/proc"
	"github.com/voidbox-run/voidbox/guest/agent/internal/serve"
	"github.com/voidbox-run/voidbox/sdk/boot"
)

// Process serves the sandbox contract over the machine that it runs on, without being its PID 1: for tests and benchmarks.
// Of the configuration, only what concerns commands counts. It returns after Shutdown, or SIGTERM, which means the same.
func Process(version string, args []string) error {
	flags := flag.NewFlagSet("voidbox-guest-agent", flag.ContinueOnError)
	listen := flags.String("listen", "", "address to serve on, unix:/path")
	file := flags.String("config", "", "file with the boot configuration")
	cgroups := flags.String("cgroup", "", "mount point of a cgroup v2 hierarchy to use; none without")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *listen == "" || *file == "" {
		return errors.New("not PID 1, so -listen and -config are needed")
	}
	tune()
	config, err := ReadConfig(*file)
	if err != nil {
		return err
	}
	// What commands leave behind becomes our child, as it would PID 1's.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper of descendants: %w", err)
	}
	var tree *cgroup.Tree
	if *cgroups != "" {
		if tree, err = cgroup.Open(*cgroups, cgroup.Bounds{Processes: config.MaxProcesses}); err != nil {
			return err
		}
	}
	return process(version, config, *listen, tree)
}

func process(version string, config *boot.Config, listen string, tree *cgroup.Tree) error {
	signals := catch()
	out := console.New(os.Stderr)
	defer out.Close()
	table := proc.NewTable()
	defer table.Close()
	a, err := agent.New(agent.Parts{Config: config, Version: version, Table: table, Tree: tree, Log: out.Logger()})
	if err != nil {
		return err
	}
	defer a.Close()
	listener, err := serve.ListenUnix(listen)
	if err != nil {
		return err
	}
	if err := a.StartMain(); err != nil {
		_ = listener.Close()
		return err
	}
	server := newServer(config.Token, a, out.Logger(), listener)
	heed(signals, nil, a, out.Logger())
	return server.wait()
}

// ReadConfig reads a boot configuration from a file.
func ReadConfig(file string) (*boot.Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("boot configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, boot.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("boot configuration: %w", err)
	}
	defer clear(data)
	return boot.Parse(data)
}
