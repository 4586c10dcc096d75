package pluginhost

import (
	"fmt"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Lock is the content of voidbox.lock.hcl: the third-party plugins that were used, and their hashes. Package core/config reads
// and writes the file.
type Lock struct {
	Plugins []LockedPlugin
	Images  []LockedImage
}

// LockedImage is an image that was made of packages.
type LockedImage struct {
	Packages string // sorted, with commas
	ID       string // of the image, "sha256:..."
}

// LockedPlugin is a plugin that was used.
type LockedPlugin struct {
	Kind    string
	Name    string
	Version string
	SHA256  string // hex
	Source  string // path where it was found, for people; a hash is good wherever the file lies
}

func (l Lock) clone() Lock {
	return Lock{Plugins: slices.Clone(l.Plugins), Images: slices.Clone(l.Images)}
}

// find returns the entry of a plugin, or nil.
func (l *Lock) find(kind base.Kind, name string) *LockedPlugin {
	for n := range l.Plugins {
		if p := &l.Plugins[n]; p.Kind == string(kind) && p.Name == name {
			return p
		}
	}
	return nil
}

// remember adds a plugin that was used for the first time, in the order of kind and name.
func (l *Lock) remember(p LockedPlugin) {
	l.Plugins = append(l.Plugins, p)
	slices.SortFunc(l.Plugins, func(a, b LockedPlugin) int {
		return strings.Compare(a.Kind+"-"+a.Name, b.Kind+"-"+b.Name)
	})
}

// pin is a hash that a plugin must have, and who says so.
type pin struct {
	sha256 string
	by     string // required_plugins or the lock file
}

// pinOf returns what a plugin must hash to; the zero pin means that nobody has said.
func (h *Host) pinOf(c candidate) pin {
	if r := h.required(c.Kind, c.Name); r != nil && r.SHA256 != "" {
		return pin{sha256: strings.ToLower(r.SHA256), by: "required_plugins"}
	}
	if !c.ThirdParty {
		return pin{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.lock.find(c.Kind, c.Name); p != nil {
		return pin{sha256: strings.ToLower(p.SHA256), by: "voidbox.lock.hcl"}
	}
	return pin{}
}

// check refuses an image that is not what was pinned.
func (p pin) check(img *image, c candidate) error {
	if p.sha256 == "" || p.sha256 == img.sha256 {
		return nil
	}
	return errdef.New(errdef.ErrPermission, "plugin %s is not the one that %s names: %s has sha256 %s, expected %s",
		c, p.by, c.Path, img.sha256, p.sha256).
		WithReason(ReasonHash).
		WithRemedy("if you replaced the plugin on purpose, put the new hash into %s or remove the plugin's entry there; if not, do not run it", p.by)
}

// remember records the first use of a third-party plugin. What could not be saved was not used: the next start tries again.
func (h *Host) remember(c candidate, img *image, version string) error {
	if !c.ThirdParty || c.Override {
		return nil
	}
	// Whoever saves last has all entries.
	h.saving.Lock()
	defer h.saving.Unlock()
	// Another start may have been the first since this image was approved, with another content.
	if err := h.pinOf(c).check(img, c); err != nil {
		return err
	}
	lock := h.Lock()
	if lock.find(c.Kind, c.Name) != nil {
		return nil
	}
	lock.remember(LockedPlugin{Kind: string(c.Kind), Name: c.Name, Version: version, SHA256: img.sha256, Source: c.Path})
	h.log.Info("plugin used for the first time", "plugin", c.String(), "path", c.Path, "sha256", img.sha256)
	if h.opt.SaveLock != nil {
		if err := h.opt.SaveLock(lock.clone()); err != nil {
			return fmt.Errorf("record plugin %s in the lock file: %w", c, err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lock = lock
	return nil
}

// PinnedImage is the ID that the image of a list of packages must have; empty for one that was never used.
func (h *Host) PinnedImage(packages string) string {
	for _, i := range h.Lock().Images {
		if i.Packages == packages {
			return i.ID
		}
	}
	return ""
}

// RememberImage records the first use of an image of packages. Without a lock file it is remembered for as long as the host lives.
func (h *Host) RememberImage(packages, id string) error {
	h.saving.Lock()
	defer h.saving.Unlock()
	if h.PinnedImage(packages) != "" {
		return nil
	}
	lock := h.Lock()
	lock.Images = append(lock.Images, LockedImage{Packages: packages, ID: id})
	slices.SortFunc(lock.Images, func(a, b LockedImage) int { return strings.Compare(a.Packages, b.Packages) })
	if h.opt.SaveLock != nil {
		if err := h.opt.SaveLock(lock.clone()); err != nil {
			return fmt.Errorf("record the image of packages %s in the lock file: %w", packages, err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lock = lock
	return nil
}

// Lock returns the lock as it is now.
func (h *Host) Lock() Lock {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lock.clone()
}
