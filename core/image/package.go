package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// PackageError says that a Debian package could not be had.
type PackageError struct {
	Package string
	Err     error
}

func (e *PackageError) Error() string {
	return fmt.Sprintf("package %s could not be fetched: %v", e.Package, e.Err)
}

func (e *PackageError) Unwrap() error { return e.Err }

// packageSource is where Debian packages come from.
type packageSource interface {
	// Depends returns the names of the packages that pkg depends on.
	Depends(ctx context.Context, pkg string) ([]string, error)
	// Download puts the archive of pkg into dir and returns its path.
	Download(ctx context.Context, pkg, dir string) (deb string, err error)
}

// maxPackageBytes bounds what one package may unpack to: a kernel with its modules is about 110 MB.
const maxPackageBytes = 2 << 30

// fetchPackage unpacks into dir the files of pkg that place accepts. place gets a path without a leading slash and
// returns where it goes, relative to dir.
func (c *Cache) fetchPackage(ctx context.Context, pkg, dir string, place func(name string) (string, bool)) error {
	tmp := filepath.Join(dir, ".download")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	deb, err := c.sources.Download(ctx, pkg, tmp)
	if errors.Is(err, syscall.ENOSPC) {
		return err
	}
	if err != nil {
		return &PackageError{pkg, err}
	}
	if err := unpackDeb(ctx, deb, dir, place); err != nil {
		return fmt.Errorf("unpack package %s: %w", pkg, err)
	}
	return os.RemoveAll(tmp)
}

// unpackDeb lets dpkg-deb undo the outer formats and reads the tar stream here, so that nothing but the wanted
// regular files is written, and a full disk is seen as what it is.
func unpackDeb(ctx context.Context, deb, dir string, place func(name string) (string, bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	cmd.Env = toolEnv()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stream, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = unpackTar(stream, dir, place)
	if err != nil {
		cancel()
		_ = cmd.Wait() // killed by us: err says why
		return err
	}
	_, _ = io.Copy(io.Discard, stream) // padding after the end of the archive
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("dpkg-deb: %w: %s", err, lastLine(stderr.String()))
	}
	return nil
}

func unpackTar(stream io.Reader, dir string, place func(name string) (string, bool)) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	room := int64(maxPackageBytes)
	for archive := tar.NewReader(stream); ; {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		to, wanted := place(strings.TrimPrefix(path.Clean("/"+header.Name), "/"))
		if !wanted || header.Typeflag != tar.TypeReg {
			continue
		}
		if room -= header.Size; room < 0 {
			return fmt.Errorf("more than %d bytes", int64(maxPackageBytes))
		}
		if err := writeIn(root, to, archive, header.FileInfo().Mode()&0o755); err != nil {
			return err
		}
	}
}

// writeIn creates the file name below root, which no name can leave.
func writeIn(root *os.Root, name string, content io.Reader, mode os.FileMode) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// toolEnv is the environment of tools whose output we read.
func toolEnv() []string { return append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive") }

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
