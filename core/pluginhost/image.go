package pluginhost

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// maxBinary bounds what is read as a plugin's binary.
const maxBinary = 1 << 30

// fileID tells one content of a file from another as well as that can be told without reading it.
type fileID struct {
	Path         string
	Dev, Ino     uint64
	Size         int64
	Mtime, Ctime int64 // nanoseconds
}

// image is a binary that may be executed.
type image struct {
	id     fileID
	path   string   // what exec gets
	sha256 string   // hex; empty when the binary was not read
	sealed *os.File // immutable copy behind path; nil when path is the file itself
	script bool     // sealed is executed by an interpreter
}

func (i *image) close() {
	if i.sealed != nil {
		i.sealed.Close()
	}
}

// open opens a candidate's binary and checks that it is one.
func (c candidate) open() (*os.File, fileID, error) {
	// A FIFO must not hold us up; O_NONBLOCK means nothing for a regular file.
	f, err := os.OpenFile(c.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fileID{}, errdef.New(errdef.ErrNotFound, "plugin %s: there is no file %s", c, c.Path).WithReason(ReasonNotFound)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fileID{}, errdef.New(errdef.ErrPermission, "plugin %s: %s may not be read", c, c.Path).
			WithReason(ReasonNotExecutable).WithRemedy("run: chmod a+rx %s", c.Path)
	}
	if err != nil {
		return nil, fileID{}, fmt.Errorf("plugin %s: %w", c, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, fileID{}, fmt.Errorf("plugin %s: %s: %w", c, c.Path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0 || unix.Access(c.Path, unix.X_OK) != nil {
		f.Close()
		return nil, fileID{}, errdef.New(errdef.ErrPermission, "plugin %s: %s is not an executable file", c, c.Path).
			WithReason(ReasonNotExecutable).WithRemedy("run: chmod a+rx %s", c.Path)
	}
	return f, identify(c.Path, &st), nil
}

// approve returns what may be executed for a candidate: the file itself for voidbox's own plugins and overrides, and for all
// others a sealed copy whose hash is the pinned one, if there is a pin.
func (h *Host) approve(c candidate) (*image, error) {
	f, id, err := c.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	pinned := h.pinOf(c)
	if c.Override || !c.ThirdParty && pinned.sha256 == "" {
		return &image{id: id, path: c.Path}, nil
	}
	img, err := h.sealedImage(f, id, c)
	if err != nil {
		return nil, err
	}
	return img, pinned.check(img, c)
}

// sealedImage returns the sealed copy of a binary, made once for each content. Two starts of one plugin do not make two.
func (h *Host) sealedImage(f *os.File, id fileID, c candidate) (*image, error) {
	h.sealing.Lock()
	defer h.sealing.Unlock()
	if img := h.images[id]; img != nil {
		return img, nil
	}
	if id.Size > maxBinary {
		return nil, errdef.New(errdef.ErrExhausted, "plugin %s: %s has %d bytes; %d are allowed", c, c.Path, id.Size, maxBinary)
	}
	hash := sha256.New()
	sealed, path, err := seal(h.runtime.path, c.String(), io.TeeReader(io.LimitReader(f, maxBinary), hash))
	if err != nil {
		return nil, fmt.Errorf("plugin %s: copy %s: %w", c, c.Path, err)
	}
	img := &image{id: id, path: path, sealed: sealed, script: isScript(sealed), sha256: hex.EncodeToString(hash.Sum(nil))}
	h.images[id] = img
	return img, nil
}

// isScript tells whether a sealed copy, if there is one, names an interpreter in its first line.
func isScript(sealed *os.File) bool {
	if sealed == nil {
		return false
	}
	var magic [2]byte
	_, err := sealed.ReadAt(magic[:], 0)
	return err == nil && string(magic[:]) == "#!"
}
