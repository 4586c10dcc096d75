package pluginhost

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hashicorp/go-version"

	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// maxDescription bounds the answer to "describe".
const maxDescription = 1 << 20

// description is an answer to "describe".
type description = base.Description

// Found is a plugin that was looked up.
type Found struct {
	Kind        base.Kind
	Name        string
	Path        string
	ThirdParty  bool   // not beside the voidbox program
	SHA256      string // hex; empty for voidbox's own plugins, unless pinned
	Description base.Description
	Err         error // set by List when the plugin cannot be used
}

// Describe finds a plugin, checks that it is the approved one, and asks what it is. Nothing is left running.
func (h *Host) Describe(ctx context.Context, kind base.Kind, name string) (Found, error) {
	ctx, end, err := h.begin(ctx)
	if err != nil {
		return Found{}, err
	}
	defer end()
	c, err := h.find(kind, name)
	if err != nil {
		return Found{}, err
	}
	img, desc, err := h.inspect(ctx, c)
	if err != nil {
		return Found{}, err
	}
	return c.found(img, desc), nil
}

func (c candidate) found(img *image, desc base.Description) Found {
	return Found{Kind: c.Kind, Name: c.Name, Path: c.Path, ThirdParty: c.ThirdParty, SHA256: img.sha256, Description: desc}
}

// List describes every plugin that is installed, in the order of the directories. One that cannot be used has Err set.
func (h *Host) List(ctx context.Context) ([]Found, error) {
	ctx, end, err := h.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	candidates := h.scan()
	found := make([]Found, len(candidates))
	var wg sync.WaitGroup
	for n, c := range candidates {
		wg.Go(func() {
			img, desc, err := h.inspect(ctx, c)
			if err != nil {
				img = &image{}
			}
			found[n] = c.found(img, desc)
			found[n].Err = err
		})
	}
	wg.Wait()
	return found, ctx.Err()
}

// inspect approves a candidate, asks it what it is, and checks that this is what was asked for.
func (h *Host) inspect(ctx context.Context, c candidate) (*image, base.Description, error) {
	img, err := h.approve(c)
	if err != nil {
		return nil, base.Description{}, err
	}
	desc, err := h.describe(ctx, c, img)
	if err != nil {
		return nil, base.Description{}, err
	}
	return img, desc, h.checkDescription(c, desc)
}

func (h *Host) checkDescription(c candidate, desc base.Description) error {
	if desc.Kind != c.Kind || desc.Name != c.Name {
		return errdef.New(errdef.ErrInvalid, "%s says that it is plugin %s, not %s", c.Path, shortName(desc.Kind, desc.Name), c).
			WithReason(ReasonDescribe).WithRemedy("rename the file, or name the plugin by its own name")
	}
	if !slices.Contains(desc.ProtocolVersions, base.ProtocolVersion) {
		return errdef.New(errdef.ErrUnsupported, "plugin %s speaks versions %v of the plugin protocol, and this voidbox version %d",
			c, desc.ProtocolVersions, base.ProtocolVersion).WithReason(ReasonProtocol).WithRemedy("update the older of the two")
	}
	r := h.required(c.Kind, c.Name)
	if r == nil || r.Version == "" || c.Override {
		return nil
	}
	constraint, err := version.NewConstraint(r.Version)
	if err != nil {
		return errdef.New(errdef.ErrInvalid, "required_plugins: %q is no version constraint: %w", r.Version, err).WithReason(ReasonVersion)
	}
	have, err := version.NewVersion(desc.Version)
	if err != nil {
		return errdef.New(errdef.ErrInvalid, "plugin %s has version %s, which is none: %w", c, quote(desc.Version), err).WithReason(ReasonVersion)
	}
	if !constraint.Check(have) {
		return errdef.New(errdef.ErrUnsupported, "plugin %s has version %s; required_plugins asks for %q", c, have, r.Version).
			WithReason(ReasonVersion).WithRemedy("install a version that fits in place of %s, or change the constraint", c.Path)
	}
	return nil
}

// describe returns the answer to "describe", from memory, from the cache or from the plugin.
func (h *Host) describe(ctx context.Context, c candidate, img *image) (base.Description, error) {
	h.mu.Lock()
	desc, ok := h.described[img.id]
	h.mu.Unlock()
	if ok {
		return desc, nil
	}
	text, cached := h.cachedDescription(img.id)
	if !cached {
		var err error
		if text, err = h.runDescribe(ctx, c, img); err != nil {
			return desc, err
		}
	}
	if err := json.Unmarshal(text, &desc); err != nil {
		return desc, errdef.New(errdef.ErrInvalid, "plugin %s: %s describe prints %s, which is no description: %w", c, c.Path, quote(string(text)), err).
			WithReason(ReasonDescribe).WithRemedy("the file is not a plugin of voidbox, or prints something else to standard output")
	}
	if !cached {
		h.storeDescription(img.id, text)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.described[img.id] = desc
	return desc, nil
}

var errDescribeTimeout = errors.New("describe took too long")

// runDescribe runs the plugin with the argument "describe", in the same surroundings as for real.
func (h *Host) runDescribe(ctx context.Context, c candidate, img *image) ([]byte, error) {
	ctx, cancel := limit(ctx, h.opt.StartTimeout, errDescribeTimeout)
	defer cancel()
	var out capture
	p := newProcess(c.String(), "", h.log)
	p.capture = &out
	p.start = func(files childFiles) (*exec.Cmd, error) {
		cmd := img.command(c, []string{"describe"}, h.cleanEnv(c.String(), nil), nil, files)
		return cmd, h.launcher.start(cmd)
	}
	if err := p.Start(ctx); err != nil {
		return nil, startError(c, err)
	}
	stop := context.AfterFunc(ctx, p.kill)
	<-p.exited
	stop()
	switch {
	case context.Cause(ctx) == errDescribeTimeout:
		return nil, errdef.New(errdef.ErrAborted, "plugin %s did not answer describe within %s", c, h.opt.StartTimeout).WithReason(ReasonTimeout)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case out.overflow:
		return nil, errdef.New(errdef.ErrExhausted, "plugin %s answers describe with more than %d bytes", c, maxDescription).WithReason(ReasonDescribe)
	case !p.status.Success():
		return nil, errdef.New(errdef.ErrInvalid, "plugin %s does not answer describe: %w", c, p.cause("")).
			WithReason(ReasonDescribe).WithRemedy("%s is not a plugin of voidbox, or is broken", c.Path)
	}
	return out.Bytes(), nil
}

// capture keeps what a plugin prints, up to maxDescription.
type capture struct {
	bytes.Buffer
	overflow bool
}

func (c *capture) read(r io.Reader) {
	n, _ := c.ReadFrom(io.LimitReader(r, maxDescription+1))
	c.overflow = n > maxDescription
	io.Copy(io.Discard, r)
}

// startError explains why a binary could not be executed.
func startError(c candidate, err error) error {
	return errdef.New(errdef.ErrPermission, "plugin %s: %s cannot be executed: %w", c, c.Path, err).
		WithReason(ReasonNotExecutable).
		WithRemedy("check that the file is a program for this system, and that its directory is not mounted noexec")
}

// cacheFile is where the answer of a binary is kept.
func (h *Host) cacheFile(id fileID) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %+v", base.ProtocolVersion, id))
	return filepath.Join(h.opt.CacheDir, "describe", hex.EncodeToString(sum[:16])+".json")
}

func (h *Host) cachedDescription(id fileID) ([]byte, bool) {
	if h.opt.CacheDir == "" {
		return nil, false
	}
	path := h.cacheFile(id)
	// An answer says which namespaces and variables a plugin gets: it must not be somebody else's.
	if !ownPrivateDir(filepath.Dir(path)) {
		return nil, false
	}
	text, err := os.ReadFile(path)
	return text, err == nil && json.Valid(text)
}

// storeDescription keeps an answer. Without it the next run asks again, so a failure is only logged.
func (h *Host) storeDescription(id fileID, text []byte) {
	if h.opt.CacheDir == "" {
		return
	}
	path := h.cacheFile(id)
	if err := writeAtomically(path, text); err != nil {
		h.log.Debug("description not cached", "path", path, "error", err)
	}
}

func writeAtomically(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
