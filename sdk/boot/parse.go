package boot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path"
	"strings"
	"unicode/utf8"
)

const (
	tokenSize   = 32 // sandbox.TokenSize; that package is not imported, so that this one needs the standard library only
	maxSeed     = 1024
	maxHostname = 63
	maxSerial   = 20
)

// Parse reads an encoded configuration and validates it.
func Parse(data []byte) (*Config, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("boot configuration: %d bytes are more than %d", len(data), MaxSize)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var c Config
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("boot configuration: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("boot configuration: more than one JSON value")
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &c, nil
}

// Encode validates and encodes c for the initramfs.
func (c *Config) Encode() ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("boot configuration: %w", err)
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("boot configuration: %d bytes are more than %d; shorten the environment", len(data), MaxSize)
	}
	return data, nil
}

// Validate names the first field that no guest could boot with.
func (c *Config) Validate() error {
	checks := []struct {
		field string
		err   error
	}{
		{"version", c.checkVersion()},
		{"token", checkToken(c.Token)},
		{"hostname", checkHostname(c.Hostname)},
		{"root", c.Root.check()},
		{"mounts", checkEach(c.Mounts, Mount.check)},
		{"shares", c.Shares.check()},
		{"network", c.Network.check()},
		{"ssh", c.SSH.check()},
		{"clock_unix_ns", nonNegative(c.ClockUnixNano)},
		{"seed", atMost(len(c.Seed), maxSeed)},
		{"env", checkEnv(c.Env)},
		{"dir", optionalPath(c.Dir)},
		{"user", c.User.check()},
		{"limits", nonNegative(int64(c.Limits.CPUTime))},
		{"commands", checkEach(c.Commands, CommandRule.check)},
		{"main", c.Main.check()},
		{"grace_ns", nonNegative(int64(c.Grace))},
	}
	for _, check := range checks {
		if check.err != nil {
			return fmt.Errorf("boot configuration: %s: %w", check.field, check.err)
		}
	}
	return nil
}

func (c *Config) checkVersion() error {
	if c.Version != Version {
		return fmt.Errorf("%d is not %d, the version that this agent knows; build host and agent from one source", c.Version, Version)
	}
	return nil
}

func checkToken(token []byte) error {
	if len(token) != tokenSize {
		return fmt.Errorf("%d bytes instead of %d", len(token), tokenSize)
	}
	if bytes.Equal(token, make([]byte, tokenSize)) {
		return errors.New("all zero")
	}
	return nil
}

// checkHostname admits one label of RFC 1123.
func checkHostname(name string) error {
	if err := atMost(len(name), maxHostname); err != nil {
		return err
	}
	for _, r := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", r) {
			return fmt.Errorf("%q holds %q; letters, digits and hyphens only", name, r)
		}
	}
	if strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-") {
		return fmt.Errorf("%q begins or ends with a hyphen", name)
	}
	return nil
}

func (s SSH) check() error {
	if s.AgentPort != 0 {
		if err := checkToken(s.AgentToken); err != nil {
			return fmt.Errorf("agent_token: %w", err)
		}
	}
	for _, line := range s.KnownHosts {
		if line == "" || strings.ContainsAny(line, "\n\r\x00") {
			return fmt.Errorf("known_hosts: %.80q is not one line", line)
		}
	}
	return nil
}

func (r Root) check() error {
	switch r.Kind {
	case "", RootInitramfs:
		if r != (Root{Kind: r.Kind}) {
			return errors.New("a root in the initramfs takes no disk")
		}
		return nil
	case RootDisk:
	default:
		return fmt.Errorf("kind %q is neither %q nor %q", r.Kind, RootInitramfs, RootDisk)
	}
	switch r.Mode {
	case "", RootOverlay, RootReadOnly, RootReadWrite:
	default:
		return fmt.Errorf("mode %q is none of %q, %q, %q", r.Mode, RootOverlay, RootReadOnly, RootReadWrite)
	}
	if (r.Serial == "") == (r.Path == "") {
		return errors.New("a disk is named by either serial or path")
	}
	if r.FSType == "" {
		return errors.New("fstype is missing")
	}
	if err := atMost(max(len(r.Serial), len(r.OverlaySerial)), maxSerial); err != nil {
		return fmt.Errorf("serial: %w", err)
	}
	if r.OverlaySerial != "" && r.Mode != "" && r.Mode != RootOverlay {
		return fmt.Errorf("mode %q has no use for an overlay's disk", r.Mode)
	}
	return optionalPath(r.Path)
}

func (m Mount) check() error {
	if m.Source == "" || m.FSType == "" {
		return errors.New("source and fstype are needed")
	}
	if m.Target == "" {
		return errors.New("target is missing")
	}
	return optionalPath(m.Target)
}

func (s Shares) check() error {
	if len(s.Mounts) > 0 && s.Tag == "" {
		return errors.New("tag is missing")
	}
	return checkEach(s.Mounts, Share.check)
}

func (s Share) check() error {
	if s.Name == "" || s.Name == "." || s.Name == ".." || strings.ContainsAny(s.Name, "/\x00") {
		return fmt.Errorf("%q is no name of an entry", s.Name)
	}
	if s.Target == "" {
		return errors.New("target is missing")
	}
	return optionalPath(s.Target)
}

func (n Network) check() error {
	for _, address := range n.DNS {
		if _, err := netip.ParseAddr(address); err != nil {
			return fmt.Errorf("dns: %w", err)
		}
	}
	return checkEach(n.Interfaces, Interface.check)
}

func (i Interface) check() error {
	if mac, err := net.ParseMAC(i.MAC); err != nil || len(mac) != 6 {
		return fmt.Errorf("%q is not a hardware address of six bytes", i.MAC)
	}
	for _, prefix := range i.Addresses {
		if _, err := netip.ParsePrefix(prefix); err != nil {
			return err
		}
	}
	seen := map[bool]bool{}
	for _, gateway := range i.Gateways {
		address, err := netip.ParseAddr(gateway)
		if err != nil {
			return err
		}
		if seen[address.Is4()] {
			return fmt.Errorf("gateway %s is the second of its family", gateway)
		}
		seen[address.Is4()] = true
	}
	if i.MTU != 0 && (i.MTU < 576 || i.MTU > 65535) {
		return fmt.Errorf("mtu %d is not between 576 and 65535", i.MTU)
	}
	return nil
}

func (u User) check() error {
	if u == (User{}) {
		return nil
	}
	if u.Name == "" || strings.ContainsAny(u.Name, ":/\n\x00") {
		return fmt.Errorf("%q is not a user name", u.Name)
	}
	if u.Home == "" {
		return errors.New("home is missing")
	}
	return optionalPath(u.Home)
}

func (r CommandRule) check() error {
	rule := string(r)
	if rule == "" || strings.ContainsRune(rule, 0) {
		return fmt.Errorf("%q is not a rule", rule)
	}
	if !strings.Contains(rule, "/") {
		return nil
	}
	return optionalPath(strings.TrimSuffix(rule, "/"))
}

func (m *Main) check() error {
	if m == nil {
		return nil
	}
	if len(m.Args) == 0 || m.Args[0] == "" {
		return errors.New("args names no program")
	}
	for _, arg := range m.Args {
		if strings.ContainsRune(arg, 0) {
			return errors.New("an argument holds a zero byte")
		}
	}
	switch m.Restart {
	case "", RestartNever, RestartOnFailure, RestartAlways:
	default:
		return fmt.Errorf("restart %q is none of %q, %q, %q", m.Restart, RestartNever, RestartOnFailure, RestartAlways)
	}
	if err := nonNegative(int64(m.RestartDelay)); err != nil {
		return fmt.Errorf("restart_delay: %w", err)
	}
	if err := checkEnv(m.Env); err != nil {
		return err
	}
	return optionalPath(m.Dir)
}

func checkEnv(env map[string]string) error {
	for name, value := range env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return fmt.Errorf("%q is not a variable's name", name)
		}
		if strings.ContainsRune(value, 0) {
			return fmt.Errorf("%s holds a zero byte", name)
		}
	}
	return nil
}

// optionalPath admits "" and clean absolute paths.
func optionalPath(p string) error {
	if p == "" {
		return nil
	}
	if !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsRune(p, 0) || !utf8.ValidString(p) {
		return fmt.Errorf("%q is not a clean absolute path", p)
	}
	return nil
}

func checkEach[T any](list []T, check func(T) error) error {
	for i, element := range list {
		if err := check(element); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

func atMost(n, limit int) error {
	if n > limit {
		return fmt.Errorf("%d bytes are more than %d", n, limit)
	}
	return nil
}

func nonNegative(n int64) error {
	if n < 0 {
		return fmt.Errorf("%d is negative", n)
	}
	return nil
}
