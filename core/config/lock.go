package config

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/voidbox-run/voidbox/core/pluginhost"
)

// lockHeader stands at the top of every lock file.
const lockHeader = `# Written by voidbox: the plugins that this directory has used, with the hashes of their binaries, and what its lists of packages were
# made into. Commit it. To accept another binary of a plugin, or newer packages, remove the block.

`

var lockSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "plugin", LabelNames: []string{"kind", "name"}},
	{Type: "packages", LabelNames: []string{"names"}},
}}

var lockedPlugin = &block{
	Type: "plugin", Labels: []string{"kind", "name"},
	Arguments: []argument{
		{Name: "version", Type: "string"},
		{Name: "sha256", Type: "string", Required: true},
		{Name: "source", Type: "string"},
	},
}

var lockedPackages = &block{
	Type: "packages", Labels: []string{"names"},
	Arguments: []argument{{Name: "image", Type: "string", Required: true}},
}

// LoadLock reads a lock file. One that does not exist is empty.
func LoadLock(path string) (pluginhost.Lock, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return pluginhost.Lock{}, nil
	}
	files := newFileSet(path)
	lock, diags := readLock(files)
	if err := newDiagnostics(diags, files, nil).Err(); err != nil {
		return pluginhost.Lock{}, fmt.Errorf("read the lock file: %w", err)
	}
	return lock, nil
}

func readLock(files *fileSet) (pluginhost.Lock, hcl.Diagnostics) {
	var lock pluginhost.Lock
	file, diags := files.parse(files.path)
	if diags.HasErrors() {
		return lock, diags
	}
	content, diags := file.Body.Content(lockSchema)
	l := newLoader(context.Background(), Options{}, files)
	first := map[string]hcl.Range{}
	once := func(key string, b *hcl.Block) {
		if r, ok := first[key]; ok {
			diags = append(diags, at(b.DefRange, "Duplicate name", "%s is locked already, at %s.", key, place(r)))
		}
		first[key] = b.DefRange
	}
	for _, b := range content.Blocks {
		if b.Type == lockedPackages.Type {
			image, more := l.lockedImage(b)
			once("packages "+image.Packages, b)
			diags = append(diags, more...)
			lock.Images = append(lock.Images, image)
			continue
		}
		d := l.decode(b, lockedPlugin)
		p := pluginhost.LockedPlugin{Kind: b.Labels[0], Name: b.Labels[1], Version: d.str("version"), SHA256: d.str("sha256"), Source: d.str("source")}
		if sum, err := hex.DecodeString(p.SHA256); d.ok() && (err != nil || len(sum) != 32) {
			d.fail(at(d.rng("sha256"), "Invalid hash", "A sha256 is 64 hexadecimal digits."))
		}
		once(p.Kind+"-"+p.Name, b)
		diags = append(diags, d.diags...)
		lock.Plugins = append(lock.Plugins, p)
	}
	return lock, diags
}

func (l *loader) lockedImage(b *hcl.Block) (pluginhost.LockedImage, hcl.Diagnostics) {
	d := l.decode(b, lockedPackages)
	image := pluginhost.LockedImage{Packages: b.Labels[0], ID: d.str("image")}
	sum, ok := strings.CutPrefix(image.ID, "sha256:")
	if raw, err := hex.DecodeString(sum); d.ok() && (!ok || err != nil || len(raw) != 32) {
		d.fail(at(d.rng("image"), "Invalid hash", "An image's ID is \"sha256:\" and 64 hexadecimal digits."))
	}
	return image, d.diags
}

// SaveLock writes a lock file, whole or not at all.
func SaveLock(path string, lock pluginhost.Lock) error {
	file := hclwrite.NewEmptyFile()
	for i, p := range lock.Plugins {
		if i > 0 {
			file.Body().AppendNewline()
		}
		body := file.Body().AppendNewBlock("plugin", []string{p.Kind, p.Name}).Body()
		body.SetAttributeValue("version", cty.StringVal(p.Version))
		body.SetAttributeValue("sha256", cty.StringVal(p.SHA256))
		body.SetAttributeValue("source", cty.StringVal(p.Source))
	}
	for i, image := range lock.Images {
		if i > 0 || len(lock.Plugins) > 0 {
			file.Body().AppendNewline()
		}
		file.Body().AppendNewBlock(lockedPackages.Type, []string{image.Packages}).Body().SetAttributeValue("image", cty.StringVal(image.ID))
	}
	src := append([]byte(lockHeader), hclwrite.Format(file.Bytes())...)
	if err := writeWhole(path, src); err != nil {
		return fmt.Errorf("write the lock file: %w", err)
	}
	return nil
}

// writeWhole replaces a file atomically.
func writeWhole(path string, src []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".voidbox.lock-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(src)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
