package agentimage

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// modules is where npm puts packages that are for everybody.
const modules = "usr/local/lib/node_modules"

// Bounds of a package.
const (
	maxUnpacked = 2 << 30
	maxFiles    = 100_000
	maxName     = 1024
)

// repacker makes a layer of a package.
type repacker struct {
	dir      string          // below modules
	omit     []string        // paths below modules
	programs map[string]bool // paths below modules that must be executable, whatever the archive says
}

// repack reads a tarball as npm makes them: regular files, below one directory whatever its name. Owners, times and all modes but
// that of a program are left out, so that the same package is the same layer.
func (p repacker) repack(from io.Reader, to io.Writer) error {
	unzip, err := gzip.NewReader(from)
	if err != nil {
		return damaged(err)
	}
	defer unzip.Close()
	in, out := tar.NewReader(unzip), tar.NewWriter(to)
	room := int64(maxUnpacked)
	for files := 0; ; files++ {
		h, err := in.Next()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return damaged(err)
		}
		if room -= h.Size; room < 0 || files == maxFiles {
			return errdef.New(errdef.ErrExhausted, "the package unpacks to more than %d bytes or %d files", int64(maxUnpacked), maxFiles)
		}
		name, err := p.place(h)
		if err != nil {
			return damaged(err)
		}
		if name == "" {
			continue
		}
		mode := int64(0o644)
		if h.Mode&0o111 != 0 || p.programs[name] {
			mode = 0o755
		}
		head := &tar.Header{Name: path.Join(modules, name), Typeflag: tar.TypeReg, Mode: mode, Size: h.Size, ModTime: time.Unix(0, 0)}
		if err := out.WriteHeader(head); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return damaged(err)
		}
	}
}

// place says where below node_modules an entry goes; empty is nowhere.
func (p repacker) place(h *tar.Header) (string, error) {
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return "", nil
	default:
		return "", fmt.Errorf("its entry %.200q is neither a file nor a directory", h.Name) // npm makes no others
	}
	if len(h.Name) > maxName || strings.ContainsAny(h.Name, "\x00\\") || path.IsAbs(h.Name) {
		return "", fmt.Errorf("its entry %.200q has no name for a file", h.Name)
	}
	for part := range strings.SplitSeq(h.Name, "/") {
		if part == ".." || strings.HasPrefix(part, ".wh.") { // a layer would take the second for a removal
			return "", fmt.Errorf("its entry %.200q has no name for a file", h.Name)
		}
	}
	_, rest, ok := strings.Cut(strings.TrimPrefix(h.Name, "./"), "/")
	rest = path.Clean(rest)
	if !ok || rest == "." || path.IsAbs(rest) {
		return "", fmt.Errorf("its entry %.200q is not below a directory", h.Name)
	}
	name := path.Join(p.dir, rest)
	for _, out := range p.omit {
		if name == out || strings.HasPrefix(name, out+"/") {
			return "", nil
		}
	}
	return name, nil
}

// damaged leaves an error that has an explanation as it is.
func damaged(err error) error {
	var known *errdef.Error
	if errors.As(err, &known) {
		return err
	}
	return errdef.New(errdef.ErrInvalid, "the package is damaged: %w", err)
}
