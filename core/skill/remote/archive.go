package remote

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// maxArchive bounds an archive as it comes over the wire.
const maxArchive = 64 << 20

// download fetches an archive and unpacks it.
func (s Source) download(ctx context.Context, t *tree) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept-Encoding", "identity") // the hash is of the files, but the suffix tells how they are packed
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return errdef.New(errdef.ErrUnavailable, "%w", err).WithRemedy("check the address, and that this machine reaches it")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errdef.New(errdef.ErrUnavailable, "%s: the server says %d %s", s.URL, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	body := &bounded{r: resp.Body, left: maxArchive}
	switch s.suffix() {
	case ".zip":
		return t.zip(body)
	case ".tar":
		return t.tar(body)
	}
	plain, err := gzip.NewReader(body)
	if err != nil {
		return broken(err)
	}
	return t.tar(plain)
}

// tar unpacks a tar stream.
func (t *tree) tar(r io.Reader) error {
	archive := tar.NewReader(&bounded{r: r, left: maxStream})
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return broken(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader { // Git puts its commit there
			continue
		}
		if err := t.add(h.Name, modeOf(h), archive); err != nil {
			return broken(err)
		}
	}
}

// modeOf is what a tar entry is. The library takes a hard link for a file.
func modeOf(h *tar.Header) fs.FileMode {
	perm := fs.FileMode(h.Mode) & fs.ModePerm
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return perm
	case tar.TypeDir:
		return perm | fs.ModeDir
	}
	return perm | fs.ModeIrregular
}

// zip unpacks a zip archive, whose table of contents stands at its end.
func (t *tree) zip(r io.Reader) error {
	whole, err := io.ReadAll(r)
	if err != nil {
		return broken(err)
	}
	archive, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		return broken(err)
	}
	for _, f := range archive.File {
		content, err := f.Open()
		if err != nil {
			return broken(err)
		}
		err = t.add(f.Name, f.Mode(), content)
		content.Close()
		if err != nil {
			return broken(err)
		}
	}
	return nil
}

// broken tells what an archive is that cannot be read. What is explained already stays, and so does what our own disk says.
func broken(err error) error {
	if known(err) || errors.As(err, new(*fs.PathError)) {
		return err
	}
	return errdef.New(errdef.ErrInvalid, "it cannot be unpacked: %w", err)
}

// bounded fails where its reader has more than left bytes.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errdef.New(errdef.ErrExhausted, "it is larger than what is unpacked for a skill")
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
