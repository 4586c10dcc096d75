package startup

import (
	"fmt"
	"log/slog"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/guest/agent/internal/agent"
	"github.com/voidbox-run/voidbox/guest/agent/internal/announce"
	"github.com/voidbox-run/voidbox/guest/agent/internal/button"
	"github.com/voidbox-run/voidbox/guest/agent/internal/cgroup"
	"github.com/voidbox-run/voidbox/guest/agent/internal/console"
	"github.com/voidbox-run/voidbox/guest/agent/internal/machine"
	"github.com/voidbox-run/voidbox/guest/agent/internal/network"
	"github.com/voidbox-run/voidbox/guest/agent/internal/proc"
	"github.com/voidbox-run/voidbox/guest/agent/internal/serve"
	"github.com/voidbox-run/voidbox/guest/agent/internal/sshsocket"
	"github.com/voidbox-run/voidbox/sdk/boot"
)

// Machine boots the machine, serves until it is shut down, and ends it. It returns only if the kernel refuses to.
func Machine(version string) error {
	tune()
	out := console.New(consoleFile())
	starter := starter{version: version, log: out.Logger(), stages: announce.New(out.Line), signals: catch()}
	if err := starter.run(); err != nil {
		starter.stages.Fail(err)
	}
	starter.button.Close()
	out.Close()
	return machine.PowerOff()
}

// consoleFile is standard error, which the kernel opens on the console where the initramfs has one.
func consoleFile() *os.File {
	var st unix.Stat_t
	if unix.Fstat(2, &st) == nil {
		return os.Stderr
	}
	_ = machine.MountKernel("/")
	f, err := os.OpenFile("/dev/console", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return os.Stderr
	}
	return f
}

type starter struct {
	version  string
	log      *slog.Logger
	stages   *announce.Announcer
	signals  <-chan os.Signal
	button   *button.Listener // nil where the kernel has none
	config   *boot.Config
	listener net.Listener
}

func (s *starter) run() error {
	steps := []struct {
		stage boot.Stage
		do    func() error
	}{
		{boot.StageStart, s.readConfig},
		{boot.StageModules, s.modules},
		{boot.StageMounts, s.mounts},
		{boot.StageNetwork, s.network},
	}
	for _, step := range steps {
		s.stages.Enter(step.stage)
		if err := step.do(); err != nil {
			return err
		}
	}
	return s.serve()
}

// readConfig reads and unlinks the configuration, before anything is mounted over it.
func (s *starter) readConfig() error {
	var err error
	s.config, err = ReadConfig(boot.Path)
	if removed := os.Remove(boot.Path); err == nil && removed != nil {
		err = fmt.Errorf("unlink the boot configuration: %w", removed)
	}
	return err
}

// modules ends with the agent's port bound and the host on the line.
func (s *starter) modules() error {
	if err := machine.MountKernel("/"); err != nil {
		return err
	}
	failed := machine.LoadModules(machine.ModulesList)
	s.warn("some kernel modules are missing", failed)
	var err error
	if s.button, err = button.Listen(s.log); err != nil {
		s.log.Debug("events of ACPI are not heard", "error", err)
	}
	if s.listener, err = serve.ListenVsock(s.log); err != nil {
		if failed != nil {
			err = fmt.Errorf("%w (modules that failed: %w)", err, failed)
		}
		return err
	}
	if s.config.AnnouncePort == 0 {
		return nil
	}
	conn, err := serve.DialHost(s.config.AnnouncePort)
	if err != nil {
		s.warn("the host does not take the announcement", err)
		return nil
	}
	s.stages.Connect(conn)
	return nil
}

func (s *starter) mounts() error {
	s.warn("entropy", machine.AddEntropy(s.config.Seed))
	s.warn("clock", machine.SetClock(s.config.ClockUnixNano))
	s.warn("reset key", machine.DisableReset())
	s.warn("open files", machine.SetOpenFiles())
	s.warn("sysctl", machine.SetSysctls())
	if err := machine.SwitchRoot(s.config.Root); err != nil {
		return err
	}
	if err := machine.MountWork("/", s.config.Root); err != nil {
		return err
	}
	if err := machine.MountAll(s.config.Mounts); err != nil {
		return err
	}
	if err := machine.MountShares(s.config.Shares); err != nil {
		return err
	}
	user := s.user()
	if s.config.Root.Kind == boot.RootDisk { // the built-in system knows them
		s.warn("accounts", machine.AddAccounts("/", boot.DefaultUser, user))
		s.warn("home", machine.MakeHome(boot.DefaultUser, ""))
	}
	s.warn("home", machine.MakeHome(user, s.config.Dir))
	s.warn("known hosts", machine.WriteKnownHosts("/", s.config.SSH.KnownHosts))
	return nil
}

// user is who commands run as by default.
func (s *starter) user() boot.User {
	if s.config.User == (boot.User{}) {
		return boot.DefaultUser
	}
	return s.config.User
}

func (s *starter) network() error {
	if err := machine.SetHostname(s.config.Hostname); err != nil {
		return err
	}
	s.warn("hosts", machine.WriteHosts(s.config.Hostname))
	return network.Configure(s.config.Network, "")
}

// serve starts the main process and serves until the shutdown is done.
func (s *starter) serve() error {
	table := proc.NewTable()
	defer table.Close()
	a, err := agent.New(agent.Parts{Config: s.config, Version: s.version, Table: table, Tree: s.cgroups(), Log: s.log})
	if err != nil {
		return err
	}
	keys, err := s.keys()
	if err != nil {
		return err
	}
	defer keys.Close()
	s.stages.Enter(boot.StageMain)
	if err := a.StartMain(); err != nil {
		return err
	}
	server := newServer(s.config.Token, a, s.log, s.listener)
	heed(s.signals, s.button.Pressed(), a, s.log)
	s.stages.Ready(s.version)
	err = server.wait()
	a.Close()
	return err
}

// keys makes the way to the SSH agent on the host; nil where there is none.
func (s *starter) keys() (*sshsocket.Socket, error) {
	c := s.config.SSH
	if c.AgentPort == 0 {
		return nil, nil
	}
	dial := func() (net.Conn, error) { return serve.DialHost(c.AgentPort) }
	return sshsocket.Listen(boot.SSHAgentSocket, s.user(), c.AgentToken, dial, s.log)
}

// cgroups makes the tree. A kernel without is served without.
func (s *starter) cgroups() *cgroup.Tree {
	bounds, err := machine.WorkBounds(s.config.MaxProcesses)
	if err != nil {
		s.warn("bounds", err)
	}
	tree, err := cgroup.Open(machine.CgroupRoot, bounds)
	if err != nil {
		s.warn("commands are not kept apart", err)
		return nil
	}
	return tree
}

func (s *starter) warn(what string, err error) {
	if err != nil {
		s.log.Warn(what, "error", err)
	}
}
