package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/guest/agent/internal/vitals"
	"github.com/voidbox-run/voidbox/sdk/boot"
)

// DefaultHostname is the guest's name where nobody gives one.
const DefaultHostname = "voidbox"

// SetHostname names the machine.
func SetHostname(name string) error {
	if name == "" {
		name = DefaultHostname
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("hostname %s: %w", name, err)
	}
	return nil
}

// WriteHosts makes the machine's own name resolve, and localhost where the image has no /etc/hosts. A root that cannot be
// written stays without.
func WriteHosts(name string) error {
	if name == "" {
		name = DefaultHostname
	}
	const file = "/etc/hosts"
	hosts, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if !slices.Contains(strings.Fields(string(hosts)), "localhost") { // images are often shipped with an empty file
		hosts = append(hosts, "127.0.0.1 localhost\n::1 localhost\n"...)
	}
	if slices.Contains(strings.Fields(string(hosts)), name) {
		return nil
	}
	hosts = fmt.Appendf(hosts, "127.0.1.1 %s\n", name)
	err = os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, hosts, 0o644)
	}
	return writable(err)
}

// workspace is where agents and their users meet, whatever the image.
const workspace = "/workspace"

// MakeHome makes the directories that commands start in, where the root can be written and lacks them.
func MakeHome(user boot.User, dir string) error {
	var errs []error
	for _, d := range []string{user.Home, workspace, dir} {
		if d == "" {
			continue
		}
		if _, err := os.Stat(d); err == nil {
			continue
		}
		err := os.MkdirAll(d, 0o755)
		if err == nil {
			err = os.Chown(d, int(user.UID), int(user.GID))
		}
		errs = append(errs, err)
	}
	return writable(errors.Join(errs...))
}

// writable forgets that a root cannot be written: then it stays as it is.
func writable(err error) error {
	if errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}

// clockSlack is a difference that is not worth a step of the clock.
const clockSlack = 500 * time.Millisecond

// SetClock sets the clock to the host's time: what it was when the configuration was made, and what the boot has taken
// since. Zero leaves it alone.
func SetClock(unixNano int64) error {
	if unixNano == 0 {
		return nil
	}
	now := time.Unix(0, unixNano).Add(vitals.Uptime())
	if time.Since(now).Abs() < clockSlack {
		return nil
	}
	tv := unix.NsecToTimeval(now.UnixNano())
	if err := unix.Settimeofday(&tv); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}
