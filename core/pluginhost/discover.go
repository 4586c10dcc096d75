package pluginhost

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// DefaultDirs returns the directories of $VOIDBOX_PLUGIN_PATH and then the user's plugin directory.
func DefaultDirs() []string {
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("VOIDBOX_PLUGIN_PATH")) {
		if abs, err := filepath.Abs(dir); dir != "" && err == nil {
			dirs = append(dirs, abs)
		}
	}
	data := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) {
		home, err := os.UserHomeDir()
		if err != nil {
			return dirs
		}
		data = filepath.Join(home, ".local", "share")
	}
	return append(dirs, filepath.Join(data, "voidbox", "plugins"))
}

// candidate is a binary that bears a plugin's name.
type candidate struct {
	Kind       base.Kind
	Name       string
	Path       string
	ThirdParty bool
	Override   bool
}

// String returns the plugin's short name, such as llm-echo.
func (c candidate) String() string { return shortName(c.Kind, c.Name) }

func shortName(kind base.Kind, name string) string { return string(kind) + "-" + name }

func (h *Host) required(kind base.Kind, name string) *plan.Requirement {
	for n := range h.opt.Required {
		if r := &h.opt.Required[n]; r.Kind == string(kind) && r.Name == name {
			return r
		}
	}
	return nil
}

// find looks a plugin up: overrides, then the source that the plan names, then the directories in order.
func (h *Host) find(kind base.Kind, name string) (candidate, error) {
	c := candidate{Kind: kind, Name: name, ThirdParty: true}
	binary := sdk.BinaryName(kind, name)
	if !slices.Contains(base.Kinds, kind) || name == "" || filepath.Base(binary) != binary {
		return c, errdef.New(errdef.ErrInvalid, "%q is not the name of a plugin", shortName(kind, name))
	}
	if path, ok := h.opt.Overrides[c.String()]; ok {
		c.Path, c.Override = overridePath(path, binary), true
		h.log.Warn("plugin is overridden for development; its hash and version are not checked", "plugin", c.String(), "path", c.Path)
		return c, nil
	}
	if r := h.required(kind, name); r != nil && r.Source != "" {
		c.Path = r.Source
		c.ThirdParty = filepath.Dir(r.Source) != h.opt.BuiltinDir
		return c, nil
	}
	for _, dir := range h.dirs() {
		path := filepath.Join(dir, binary)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		c.Path, c.ThirdParty = path, dir != h.opt.BuiltinDir
		return c, nil
	}
	return c, h.notFound(c)
}

// overridePath takes a file, or a directory that holds the binary.
func overridePath(path, binary string) string {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return filepath.Join(path, binary)
	}
	return path
}

func (h *Host) dirs() []string { return append([]string{h.opt.BuiltinDir}, h.opt.Dirs...) }

func (h *Host) notFound(c candidate) error {
	binary := sdk.BinaryName(c.Kind, c.Name)
	err := errdef.New(errdef.ErrNotFound, "plugin %s not found: there is no %s in %s",
		c, binary, strings.Join(h.dirs(), ", ")).WithReason(ReasonNotFound)
	if near := h.nearest(c); near != "" {
		return err.WithRemedy("did you mean %s?", near)
	}
	return err.WithRemedy("put %s into one of these directories, or name its directory in $VOIDBOX_PLUGIN_PATH", binary)
}

// nearest returns the installed plugin whose name differs least, within a third of its length.
func (h *Host) nearest(c candidate) string {
	best, limit := "", max(2, len(c.Name)/3)+1
	for _, other := range h.scan() {
		name := other.Name
		if other.Kind != c.Kind {
			continue
		}
		if d := editDistance(c.Name, name); d < limit {
			best, limit = name, d
		}
	}
	return best
}

// scan lists every binary that bears a plugin's name; of several with the same one, the first that find would take.
func (h *Host) scan() []candidate {
	var found []candidate
	seen := map[string]bool{}
	for _, dir := range h.dirs() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			c, ok := parseBinaryName(e.Name())
			if !ok || seen[c.String()] {
				continue
			}
			seen[c.String()] = true
			c.Path, c.ThirdParty = filepath.Join(dir, e.Name()), dir != h.opt.BuiltinDir
			found = append(found, c)
		}
	}
	return found
}

// parseBinaryName reads voidbox-<kind>-<name>.
func parseBinaryName(file string) (candidate, bool) {
	rest, ok := strings.CutPrefix(file, "voidbox-")
	kind, name, ok2 := strings.Cut(rest, "-")
	if !ok || !ok2 || name == "" || strings.Contains(name, ".") || !slices.Contains(base.Kinds, base.Kind(kind)) {
		return candidate{}, false
	}
	return candidate{Kind: base.Kind(kind), Name: name}, true
}

// editDistance is the Levenshtein distance of two short names.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
