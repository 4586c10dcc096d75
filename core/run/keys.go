package run

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	boxes "github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/core/sshagent"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// keyring is the SSH agent of one sandbox. The zero value is none.
type keyring struct {
	ssh   boot.SSH // what the guest is told
	agent *sshagent.Agent
	watch chan struct{} // closed when nobody waits for the agent's end any more
	stop  context.CancelFunc
}

func (k keyring) close(ctx context.Context) error {
	if k.agent == nil {
		return nil
	}
	k.stop()
	<-k.watch
	k.agent.Close(ctx)
	return nil
}

// checkKeys finds what is wrong with a sandbox's keys, whoever wrote them down.
func checkKeys(s *plan.Sandbox) error {
	wrap := func(what string, err error) error { return fmt.Errorf("sandbox %s: %s: %w", s.Name, what, err) }
	known, err := knownHosts(s)
	if err != nil {
		return wrap("known_hosts", err)
	}
	names := map[string]bool{}
	for _, k := range s.DeployKeys {
		what := "deploy key " + k.Name
		if names[k.Name] {
			return wrap(what, errdef.New(errdef.ErrInvalid, "there are two of that name"))
		}
		names[k.Name] = true
		if _, err := sshagent.ReadKey(k.Path); err != nil {
			return wrap(what, err)
		}
		for _, host := range k.Hosts {
			if err := known.CheckHost(host); err != nil {
				return wrap(what, err)
			}
		}
	}
	if s.SSHAgent && os.Getenv(authSock) == "" {
		return wrap("ssh_agent", errdef.New(errdef.ErrNotFound, "there is no agent here: %s is not set", authSock).
			WithRemedy(`start one with: eval "$(ssh-agent)" && ssh-add`))
	}
	return nil
}

// authSock is the variable by which the user's agent is found (ssh-agent(1)).
const authSock = "SSH_AUTH_SOCK"

func knownHosts(s *plan.Sandbox) (sshagent.KnownHosts, error) {
	more, err := sshagent.ParseKnownHosts(s.KnownHosts)
	return append(sshagent.Forges(), more...), err
}

// holdKeys starts the agent of a sandbox, if it has keys. dir is where the VM's sockets are going to be.
func (r *Run) holdKeys(ctx context.Context, s *plan.Sandbox, dir string, events event.Scope) (keyring, error) {
	if len(s.DeployKeys) == 0 && !s.SSHAgent && len(s.KnownHosts) == 0 {
		return keyring{}, nil
	}
	if err := checkKeys(s); err != nil {
		return keyring{}, &ConfigError{Err: err}
	}
	known, _ := knownHosts(s) // is checked
	k := keyring{ssh: boot.SSH{KnownHosts: known}}
	if len(s.DeployKeys) == 0 && !s.SSHAgent {
		return k, nil
	}
	cfg := sshagent.Config{Token: make([]byte, sshagent.TokenSize), KnownHosts: known}
	rand.Read(cfg.Token) // never fails (crypto/rand)
	for _, key := range s.DeployKeys {
		cfg.Keys = append(cfg.Keys, sshagent.Key{Name: key.Name, Path: key.Path, Hosts: key.Hosts})
	}
	if s.SSHAgent {
		cfg.Upstream = os.Getenv(authSock)
	}
	agent, err := sshagent.Start(ctx, boxes.HostPort(dir, boxes.SSHAgentPort), cfg, sshagent.Launch{Program: r.cfg.Broker, Heard: tellOfKeys(s, events)})
	if err != nil {
		return keyring{}, &MachineError{Err: fmt.Errorf("sandbox %s: %w", s.Name, err)}
	}
	k.agent, k.ssh.AgentPort, k.ssh.AgentToken = agent, boxes.SSHAgentPort, cfg.Token
	k.watchAgent(s, events)
	return k, nil
}

// watchAgent tells of an agent that ends too early. The sandbox goes on: it has lost the use of its keys, and nothing else.
func (k *keyring) watchAgent(s *plan.Sandbox, events event.Scope) {
	ctx, cancel := context.WithCancel(context.Background())
	k.stop, k.watch = cancel, make(chan struct{})
	agent, watch := k.agent, k.watch
	go func() {
		defer close(watch)
		select {
		case <-ctx.Done():
		case <-agent.Done():
			events.Emit(event.Warning{
				Message: fmt.Sprintf("sandbox %s: %s; it signs nothing any more", s.Name, event.Clean(agent.Err().Error())),
				Remedy:  "start the sandbox anew to have the use of its keys",
			})
		}
	}()
}

// tellOfKeys makes reports of an agent into events.
func tellOfKeys(s *plan.Sandbox, events event.Scope) func(sshagent.Report) {
	use := func(u *sshagent.Use) event.KeyUse {
		return event.KeyUse{
			Sandbox: s.Name, Key: event.Clean(u.Key), Fingerprint: u.Fingerprint, For: u.For, User: event.Clean(u.User), Host: event.Clean(u.Host),
		}
	}
	return func(r sshagent.Report) {
		if r.Signed != nil {
			events.Emit(event.KeyUsed{KeyUse: use(r.Signed)})
		}
		if r.Refused != nil {
			events.Emit(event.KeyRefused{KeyUse: use(r.Refused), Reason: event.Clean(r.Refused.Why)})
		}
	}
}
