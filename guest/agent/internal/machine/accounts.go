package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/boot"
)

// AddAccounts writes the users into the files of the image below root that do not know them, neither by number nor by name: there
// are programs that refuse to work for somebody without a line in /etc/passwd. What the image says stays. A root that cannot be
// written stays without.
func AddAccounts(root string, list ...boot.User) error {
	var errs []error
	for _, u := range list {
		shell := shellOf(root)
		errs = append(errs,
			addLine(root, "/etc/passwd", u.Name, u.UID, fmt.Sprintf("%s:x:%d:%d:%s:%s:%s", u.Name, u.UID, u.GID, u.Name, u.Home, shell)),
			addLine(root, "/etc/group", u.Name, u.GID, fmt.Sprintf("%s:x:%d:", u.Name, u.GID)))
	}
	return writable(errors.Join(errs...))
}

// shellOf is the best shell that there is.
func shellOf(root string) string {
	if _, err := os.Lstat(filepath.Join(root, "/bin/bash")); err == nil {
		return "/bin/bash"
	}
	return "/bin/sh"
}

// maxAccountFile bounds what is read of a file of the image.
const maxAccountFile = 1 << 20

// addLine adds a line to a file like /etc/passwd, with the name in the first column and the number in the third. A link is not
// followed: it is the image's, and may lead anywhere.
func addLine(root, file, name string, id uint32, line string) error {
	path := filepath.Join(root, file)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Size() > maxAccountFile:
		return fmt.Errorf("%s is no file that a line could be added to", file)
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for known := range strings.SplitSeq(string(old), "\n") {
		if f := strings.Split(known, ":"); len(f) > 2 && (f[0] == name || f[2] == fmt.Sprint(id)) {
			return nil
		}
	}
	if len(old) > 0 && old[len(old)-1] != '\n' {
		line = "\n" + line
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}
