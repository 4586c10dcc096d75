package sandbox

import (
	"path"
	"strings"
	"unicode/utf8"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// CheckPath demands an absolute path that can cross the wire: UTF-8, no NUL, at most 4096 bytes. Both adapters and every
// implementation use it, so that all of them refuse the same.
func CheckPath(p string) error {
	switch {
	case p == "":
		return errdef.New(errdef.ErrInvalid, "path is empty")
	case len(p) > maxPathBytes:
		return errdef.New(errdef.ErrInvalid, "path of %d bytes, at most %d are allowed", len(p), maxPathBytes)
	case strings.IndexByte(p, 0) >= 0:
		return errdef.New(errdef.ErrInvalid, "path %q holds a NUL byte", p)
	case !utf8.ValidString(p):
		return errdef.New(errdef.ErrInvalid, "path %q is not valid UTF-8", p)
	case !path.IsAbs(p):
		return errdef.New(errdef.ErrInvalid, "path %q is not absolute", p)
	}
	return nil
}

// Check demands a command that can be run at all: a program, no NUL bytes, sensible names of variables.
func (c Command) Check() error {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return errdef.New(errdef.ErrInvalid, "command has no program")
	}
	for _, a := range c.Args {
		if err := checkText("argument", a); err != nil {
			return err
		}
	}
	for k, v := range c.Env {
		if k == "" || strings.ContainsRune(k, '=') {
			return errdef.New(errdef.ErrInvalid, "name of variable %q is empty or holds an equals sign", k)
		}
		if err := checkText("name of variable", k); err != nil {
			return err
		}
		if err := checkText("value of variable "+k, v); err != nil {
			return err
		}
	}
	if c.Dir != "" {
		if err := CheckPath(c.Dir); err != nil {
			return err
		}
	}
	if c.Timeout < 0 || c.Limits.CPUTime < 0 {
		return errdef.New(errdef.ErrInvalid, "time limit of the command is negative")
	}
	if c.Pty != nil {
		if err := checkText("terminal type", c.Pty.Term); err != nil {
			return err
		}
	}
	return checkText("user", c.User)
}

// Check demands a known signal or a size, and not both.
func (c Control) Check() error {
	if (c.Signal == "") == (c.Resize == nil) {
		return errdef.New(errdef.ErrInvalid, "control message needs a signal or a size")
	}
	if c.Signal == "" {
		return nil
	}
	if _, ok := SignalNumber(c.Signal); !ok {
		return errdef.New(errdef.ErrInvalid, "unknown signal %.32q; use a name such as INT or TERM", c.Signal)
	}
	return nil
}

// checkDial demands a known network and an address.
func checkDial(network, address string) error {
	switch network {
	case "tcp", "udp", "unix":
	default:
		return errdef.New(errdef.ErrInvalid, "network %.32q: want tcp, udp or unix", network)
	}
	if address == "" || len(address) > maxPathBytes {
		return errdef.New(errdef.ErrInvalid, "address of %d bytes, want 1 to %d", len(address), maxPathBytes)
	}
	return checkText("address", address)
}

func checkText(what, s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return errdef.New(errdef.ErrInvalid, "%s %.64q holds a NUL byte", what, s)
	}
	if !utf8.ValidString(s) {
		return errdef.New(errdef.ErrInvalid, "%s %.64q is not valid UTF-8", what, s)
	}
	return nil
}
