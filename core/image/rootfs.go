package image

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/voidbox-run/voidbox/core/image/erofs"
	"github.com/voidbox-run/voidbox/core/image/layer"
	"github.com/voidbox-run/voidbox/core/image/oci"
	"github.com/voidbox-run/voidbox/core/image/source"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Image is an image in the cache: a disk that VMs boot from, with what the image says of itself.
type Image struct {
	// ID names the content: the digest of the image's configuration, or of a directory's listing.
	ID     string `json:"id"`
	Digest string `json:"digest,omitempty"` // of the manifest that it came by
	// Created is when its author made it.
	Created string       `json:"created,omitempty"`
	Config  Config       `json:"config"`
	Layers  []ImageLayer `json:"layers,omitempty"`
	Files   int          `json:"files"`
	// Bytes is the size of the disk, Used what of it takes room.
	Bytes int64 `json:"bytes"`
	Used  int64 `json:"used"`

	dir string
}

// Config is what an image says about its main process.
type Config struct {
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Cmd        []string          `json:"cmd,omitempty"`
	Env        []string          `json:"env,omitempty"`
	User       string            `json:"user,omitempty"`
	WorkingDir string            `json:"working_dir,omitempty"`
	StopSignal string            `json:"stop_signal,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
}

// ImageLayer is one layer of an image.
type ImageLayer struct {
	Digest string `json:"digest,omitempty"`
	DiffID string `json:"diff_id"`
	Size   int64  `json:"size,omitempty"`
}

// What is in the directory of an image.
const (
	imageKind  = "images"
	diskName   = "root.erofs"
	recordName = "image.json"
	passwdName = "passwd"
	groupName  = "group"
)

// Disk is the path of its disk, an EROFS image that nobody may write to.
func (i *Image) Disk() string { return filepath.Join(i.dir, diskName) }

// Accounts are the files that name the image's users and groups, as far as it has them.
func (i *Image) Accounts() (passwd, group []byte) {
	passwd, _ = os.ReadFile(filepath.Join(i.dir, passwdName))
	group, _ = os.ReadFile(filepath.Join(i.dir, groupName))
	return passwd, group
}

// Image returns the image of a source, from the cache where it is there. Only a name in a registry that the cache does not know
// asks the registry; what lies on this machine is looked at each time, since it may have changed.
func (c *Cache) Image(ctx context.Context, s source.Source) (*Image, error) {
	if s.Kind == source.Registry {
		img, err := c.named(s.String())
		if img != nil || err != nil {
			return img, err
		}
		if name, ok := strings.CutPrefix(s.Ref, AgentPrefix); ok {
			name, _, _ = strings.Cut(name, ":")
			return nil, errdef.New(errdef.ErrNotFound, "the image %s is not in the cache", s).WithRemedy("build it: voidbox agent-image %s", name)
		}
	}
	return c.Pull(ctx, s)
}

// AgentPrefix begins the names of images that `voidbox agent-image` builds (core/agentimage). They are in the cache or nowhere: no
// registry is asked for them.
const AgentPrefix = "localhost/voidbox/"

// Pull is Image, but asks a registry in any case.
func (c *Cache) Pull(ctx context.Context, s source.Source) (*Image, error) {
	img, err := c.pull(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", s, c.explain(err))
	}
	return img, c.setName(s.String(), img)
}

func (c *Cache) pull(ctx context.Context, s source.Source) (*Image, error) {
	if s.Kind == source.Directory {
		return c.fromDirectory(ctx, s.Path)
	}
	opt := oci.Options{Blobs: c.blobs(), Progress: func(line string) { progress(ctx, "%s", line) }}
	found, err := oci.Open(ctx, s, opt)
	if err != nil {
		return nil, err
	}
	return c.make(ctx, found.ID, func(ctx context.Context, dir string) error {
		progress(ctx, "making a disk of %s", s)
		return c.fromLayers(ctx, dir, found)
	})
}

func (c *Cache) blobs() *oci.Blobs { return &oci.Blobs{Dir: filepath.Join(c.dir, "blobs")} }

// make builds an image unless the cache has it.
func (c *Cache) make(ctx context.Context, id string, build func(ctx context.Context, dir string) error) (*Image, error) {
	dir, err := c.Entry(ctx, imageKind, imageKey(id), build)
	if err != nil {
		return nil, sortImageError(err)
	}
	return readImage(dir)
}

func imageKey(id string) string { return strings.TrimPrefix(id, "sha256:") }

// sortImageError blames the image for what is the image's fault, and leaves out how the cache came to notice.
func sortImageError(err error) error {
	var told *errdef.Error
	var invalid *layer.InvalidError
	var digest *layer.DigestError
	var limit *layer.LimitError
	fault := func(cause error, reason, remedy string) error {
		return errdef.New(errdef.ErrInvalid, "%w", cause).WithReason(reason).WithRemedy("%s", remedy)
	}
	const again = "run it again; if it stays so, the image was broken by whoever made it"
	switch {
	case errors.As(err, &told):
		return told
	case errors.As(err, &limit):
		return fault(limit, "image_too_large", "no sound image is as large as this: do not use it")
	case errors.As(err, &invalid):
		return fault(invalid, "image_damaged", again)
	case errors.As(err, &digest):
		return fault(digest, "image_damaged", again)
	}
	return err
}

// readImage reads an image that is to be used: its disk is there, in its full length.
func readImage(dir string) (*Image, error) {
	img, err := readRecord(dir)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(img.Disk())
	if err != nil || info.Size() != img.Bytes {
		return nil, errdef.New(errdef.ErrInvalid, "the cache's disk %s is damaged: it should have %d bytes", img.Disk(), img.Bytes).
			WithRemedy("remove it, and it is made anew: voidbox image remove %s", img.ShortID())
	}
	return img, nil
}

func readRecord(dir string) (*Image, error) {
	raw, err := os.ReadFile(filepath.Join(dir, recordName))
	if err != nil {
		return nil, err
	}
	img := &Image{dir: dir}
	if err := json.Unmarshal(raw, img); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, recordName), err)
	}
	return img, nil
}

// ShortID is enough of the ID to type.
func (i *Image) ShortID() string {
	key := imageKey(i.ID)
	return key[:min(12, len(key))]
}

// Downloads and unpacking go on side by side.
const downloads = 4

func (c *Cache) fromLayers(ctx context.Context, dir string, found *oci.Image) error {
	d, err := newDisk(dir)
	if err != nil {
		return err
	}
	defer d.file.Close()
	layers := make([]*layer.Layer, len(found.Layers))
	work, working := errgroup.WithContext(ctx)
	work.SetLimit(downloads)
	unpacking := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, l := range found.Layers {
		work.Go(func() (err error) {
			layers[i], err = c.readLayer(working, l, d, unpacking)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return err
	}
	tree := layer.NewTree(d.budget)
	for _, l := range layers {
		if err := tree.Apply(ctx, l); err != nil {
			return err
		}
	}
	for _, hidden := range tree.Hidden(layers) {
		if err := d.writer.Discard(hidden); err != nil {
			return err
		}
	}
	img := &Image{ID: found.ID, Digest: found.Digest, Created: found.Created, Config: Config{
		Entrypoint: found.Config.Entrypoint, Cmd: found.Config.Cmd, Env: found.Config.Env, User: found.Config.User,
		WorkingDir: found.Config.WorkingDir, StopSignal: found.Config.StopSignal, Labels: found.Config.Labels,
	}}
	for _, l := range found.Layers {
		img.Layers = append(img.Layers, ImageLayer{Digest: l.Digest, DiffID: l.DiffID, Size: l.Size})
	}
	return d.finish(tree, img)
}

func (c *Cache) readLayer(ctx context.Context, l oci.Layer, d *disk, unpacking chan struct{}) (*layer.Layer, error) {
	packed, err := l.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	select {
	case unpacking <- struct{}{}:
		defer func() { <-unpacking }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	a := d.writer.NewAppender()
	read, err := layer.ReadPacked(ctx, packed, l.Size, l.DiffID, a, d.budget)
	if err == nil {
		return read, a.Flush()
	}
	// It had its digest when it came, so either its disk is bad, or its manifest. Only a fresh one can tell.
	var digest *layer.DigestError
	var invalid *layer.InvalidError
	if l.Digest != "" && (errors.As(err, &digest) || errors.As(err, &invalid)) {
		_ = c.blobs().Remove(l.Digest)
	}
	return nil, err
}

// disk is an EROFS image in the making.
type disk struct {
	dir    string
	file   *os.File
	writer *erofs.Writer
	budget *layer.Budget
}

func newDisk(dir string) (*disk, error) {
	f, err := os.OpenFile(filepath.Join(dir, diskName), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return &disk{dir: dir, file: f, writer: erofs.NewWriter(sparse{f}), budget: &layer.Budget{}}, nil
}

// finish writes all but the content of files.
func (d *disk) finish(tree *layer.Tree, img *Image) (err error) {
	for name, path := range map[string]string{passwdName: "etc/passwd", groupName: "etc/group"} {
		if err := d.keep(tree.Resolve(path), name); err != nil {
			return err
		}
	}
	var uuid [16]byte
	id, _ := hex.DecodeString(imageKey(img.ID))
	copy(uuid[:], id)
	if img.Files, err = d.writer.Finish(tree.Root(), uuid); err != nil {
		return &layer.InvalidError{Err: err}
	}
	info, err := d.file.Stat()
	if err != nil {
		return err
	}
	img.Bytes, img.Used = info.Size(), usedBytes(info)
	if err := d.file.Chmod(0o444); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(img, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.dir, recordName), raw, 0o644)
}

// maxAccounts bounds what is read of a file that names users or groups.
const maxAccounts = 1 << 20

// keep copies a file of the image to where it can be read without mounting anything.
func (d *disk) keep(n *erofs.Node, name string) error {
	if n == nil || n.Type() != erofs.Regular {
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(n.Content.Reader(d.file), maxAccounts))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.dir, name), content, 0o644)
}
