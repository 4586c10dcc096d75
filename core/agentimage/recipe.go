package agentimage

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Recipe is what goes into an image.
type Recipe struct {
	Name    string `json:"name"`
	Title   string `json:"title"` // as its makers call it
	Version string `json:"version"`
	Licence string `json:"licence"` // SPDX, or words
	// Terms is where the conditions of a program stand that is no free software; empty for one that is.
	Terms    string            `json:"terms,omitempty"`
	Suite    string            `json:"suite"`  // of Debian
	Debian   []string          `json:"debian"` // packages
	NPM      []Package         `json:"npm"`
	Programs map[string]string `json:"programs"`       // what each is called, and where it is below node_modules
	Omit     []string          `json:"omit,omitempty"` // paths below node_modules that are left out, with all below them
}

// Package is one of npm.
type Package struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Path      string `json:"path,omitempty"` // below node_modules; its name where that is all
	Integrity string `json:"integrity"`      // "sha512-" and the sum in base64, as npm has it
	Licence   string `json:"licence"`
}

//go:embed recipes/*.json
var recipes embed.FS

// Recipes returns all recipes, by name.
func Recipes() ([]Recipe, error) {
	files, err := recipes.ReadDir("recipes")
	if err != nil {
		return nil, err
	}
	var list []Recipe
	for _, file := range files {
		raw, err := recipes.ReadFile("recipes/" + file.Name())
		if err != nil {
			return nil, err
		}
		var r Recipe
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("recipe %s: %w", file.Name(), err)
		}
		list = append(list, r)
	}
	return list, nil
}

// Find returns the recipe of a name.
func Find(name string) (Recipe, error) {
	list, err := Recipes()
	if err != nil {
		return Recipe{}, err
	}
	var names []string
	for _, r := range list {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return Recipe{}, errdef.New(errdef.ErrInvalid, "there is no recipe for an agent called %q", name).
		WithRemedy("there is: %s", strings.Join(names, ", "))
}

// With adds Debian packages.
func (r Recipe) With(packages ...string) Recipe {
	r.Debian = append(slices.Clone(r.Debian), packages...)
	slices.Sort(r.Debian)
	r.Debian = slices.Compact(r.Debian)
	return r
}

var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)

// IsPackage tells whether Debian could have a package of that name (Debian policy, section 5.6.1).
func IsPackage(name string) bool { return packageName.MatchString(name) }

// Image is the name of the image without a tag, which is that of the newest.
func (r Recipe) Image() string { return image.AgentPrefix + r.Name }

// format is raised when the same recipe is to make another image.
const format = "2"

// key names all that decides what the image holds, but for what Debian has of late.
func (r Recipe) key() (string, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte(format+"\n"), text...))
	return hex.EncodeToString(sum[:16]), nil
}

// check finds what a recipe of the repository must not have. One that is wrong would fail late.
func (r Recipe) check() error {
	for _, p := range r.NPM {
		if _, err := p.sum(); err != nil {
			return err
		}
		if clean := path.Clean(p.dir()); clean != p.dir() || path.IsAbs(clean) || strings.HasPrefix(clean, "..") {
			return fmt.Errorf("package %s: %q is no path below node_modules", p, p.Path)
		}
		if p.Licence == "" {
			return fmt.Errorf("package %s has no licence", p)
		}
	}
	if len(r.Programs) == 0 && len(r.NPM) > 0 || r.Suite == "" || r.Licence == "" {
		return fmt.Errorf("recipe %q is not complete", r.Name)
	}
	return nil
}

// String is how npm writes it.
func (p Package) String() string { return p.Name + "@" + p.Version }

func (p Package) dir() string {
	if p.Path != "" {
		return p.Path
	}
	return p.Name
}

// sum is the SHA-512 of its tarball.
func (p Package) sum() ([]byte, error) {
	text, ok := strings.CutPrefix(p.Integrity, "sha512-")
	sum, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(sum) != 64 {
		return nil, fmt.Errorf("package %s: %q is not a SHA-512 as npm writes it", p, p.Integrity)
	}
	return sum, nil
}
