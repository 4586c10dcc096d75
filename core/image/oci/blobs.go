package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/voidbox-run/voidbox/core/image/layer"
	"github.com/voidbox-run/voidbox/core/image/lock"
)

// Blobs is a directory of downloads: sha256/HEX, whole and right, and sha256/HEX.part, on the way.
type Blobs struct{ Dir string }

const (
	partSuffix = ".part"
	lockSuffix = ".lock"
)

// stall is how long a download may bring nothing before it is begun anew.
const stall = time.Minute

// source opens a blob from an offset on, or from the one that it returns.
type opener func(ctx context.Context, offset int64) (r io.ReadCloser, from int64, err error)

// fetch returns the blob of a digest ("sha256:..."), downloaded if need be. Anybody may fetch the same at the same time: one
// works, the others wait and find it.
func (b *Blobs) fetch(ctx context.Context, digest string, size int64, opt Options, m *meter, from opener) (*os.File, error) {
	dir := filepath.Join(b.Dir, "sha256")
	name := filepath.Join(dir, strings.TrimPrefix(digest, "sha256:"))
	if f, err := os.Open(name); err == nil {
		return f, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock.Take(ctx, name+lockSuffix, func() { opt.progress("waiting for another voidbox, which downloads the same layer") })
	if err != nil {
		return nil, err
	}
	defer unlock()
	if f, err := os.Open(name); err == nil {
		return f, nil
	}
	m.expect(size)
	d := &download{digest: digest, size: size, open: from, meter: m, opt: opt}
	if err := d.run(ctx, name+partSuffix); err != nil {
		return nil, err
	}
	if err := os.Rename(name+partSuffix, name); err != nil {
		return nil, err
	}
	return os.Open(name)
}

// Remove removes a blob that has turned out to be bad.
func (b *Blobs) Remove(digest string) error {
	return os.Remove(filepath.Join(b.Dir, "sha256", strings.TrimPrefix(digest, "sha256:")))
}

// download is one blob on its way.
type download struct {
	digest string
	size   int64
	open   opener
	meter  *meter
	opt    Options

	file *os.File
	sum  hash.Hash
	at   int64 // bytes that are there
}

// run fills the file at path, going on where it ends, until it has the digest.
func (d *download) run(ctx context.Context, path string) (err error) {
	if d.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, d.file.Close())
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			_ = os.Remove(path) // what cannot be finished only takes room
		}
	}()
	if err := d.recall(); err != nil {
		return err
	}
	resumed := d.at > 0
	for {
		if err := d.complete(ctx); err != nil {
			return err
		}
		got := "sha256:" + hex.EncodeToString(d.sum.Sum(nil))
		if got == d.digest {
			return d.file.Sync()
		}
		if err := d.restart(); err != nil {
			return err
		}
		if !resumed {
			return errors.Join(&layer.DigestError{What: "a downloaded layer", Want: d.digest, Got: got}, os.Remove(path))
		}
		resumed = false // what an earlier download left may have been the bad part
	}
}

// recall hashes what an earlier download left.
func (d *download) recall() (err error) {
	d.sum = sha256.New()
	d.at, err = io.Copy(d.sum, d.file)
	if err == nil && d.at > d.size {
		return d.restart()
	}
	d.meter.add(d.at)
	return err
}

func (d *download) restart() error {
	d.meter.add(-d.at)
	d.sum, d.at = sha256.New(), 0
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	_, err := d.file.Seek(0, io.SeekStart)
	return err
}

// complete downloads until all is there. As long as attempts bring something, there may be more of them.
func (d *download) complete(ctx context.Context) error {
	for vain := 0; d.at < d.size; {
		before := d.at
		err := d.attempt(ctx)
		if d.at > before {
			vain = 0
		}
		var answer *transport.Error
		switch {
		case err == nil && d.at == d.size:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errEndless), errors.Is(err, errWrite), errors.As(err, &answer):
			return err
		case err == nil:
			err = io.ErrUnexpectedEOF
		}
		if vain++; vain == maxAttempts {
			return fmt.Errorf("the download of %s breaks off after %d of %d bytes: %w", d.digest, d.at, d.size, err)
		}
		d.opt.progress("the download of %.19s broke off (%v); going on at %d of %d bytes", d.digest, err, d.at, d.size)
		if err := sleep(ctx, d.opt.pause<<(vain-1)); err != nil {
			return err
		}
	}
	return nil
}

var (
	errEndless = errors.New("the layer is longer than its manifest says")
	errWrite   = errors.New("write the download")
)

// attempt copies what one answer brings.
func (d *download) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(stall, func() { cancel(fmt.Errorf("nothing has come for %s", stall)) })
	defer watchdog.Stop()
	r, from, err := d.open(ctx, d.at)
	if err != nil {
		return err
	}
	defer r.Close()
	if from != d.at {
		if err := d.restart(); err != nil {
			return err
		}
	}
	buffer := make([]byte, 256<<10)
	for {
		n, err := r.Read(buffer)
		watchdog.Reset(stall)
		if d.at+int64(n) > d.size {
			return errEndless
		}
		if _, failed := d.file.Write(buffer[:n]); failed != nil {
			return fmt.Errorf("%w: %w", errWrite, failed)
		}
		d.sum.Write(buffer[:n])
		d.at += int64(n)
		d.meter.add(int64(n))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
