package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// WriteHosts makes /etc/hosts where an image has none, so that localhost and the machine's own name resolve.
func WriteHosts(name string) error {
	if name == "" {
		name = DefaultHostname
	}
	const file = "/etc/hosts"
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, fmt.Appendf(nil, "127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost\n", name), 0o644)
}

// MakeHome makes the directories that commands start in, where the root can be written and lacks them.
func MakeHome(user boot.User, dir string) error {
	if user == (boot.User{}) {
		user = boot.DefaultUser
	}
	var errs []error
	for _, d := range []string{user.Home, dir} {
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
	return errors.Join(errs...)
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
