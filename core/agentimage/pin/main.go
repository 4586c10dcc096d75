// Command pin writes a recipe's npm packages: those that npm itself would install for a package, with the sums that the registry's metadata
// gives them. Look at the difference before it is committed: what is pinned is what everybody will run.
//
//	go run ./core/agentimage/pin codex @openai/codex@0.169.0-linux-x64
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/core/agentimage"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pin RECIPE NAME@VERSION")
		os.Exit(2)
	}
	if err := pin(filepath.Join("core", "agentimage", "recipes", os.Args[1]+".json"), os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "pin:", err)
		os.Exit(1)
	}
}

func pin(file, spec string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var r agentimage.Recipe
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	if r.NPM, err = resolve(spec); err != nil {
		return err
	}
	at := strings.LastIndex(spec, "@")
	r.Version = strings.TrimSuffix(spec[at+1:], "-linux-x64")
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return err
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}

// locked is an entry of package-lock.json.
type locked struct {
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Integrity string   `json:"integrity"`
	Licence   string   `json:"license"`
	OS        []string `json:"os"`
	CPU       []string `json:"cpu"`
	Libc      []string `json:"libc"`
}

// resolve lets npm work out what to install, without installing it.
func resolve(spec string) ([]agentimage.Package, error) {
	dir, err := os.MkdirTemp("", "pin-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"name":"pin","private":true}`), 0o644); err != nil {
		return nil, err
	}
	npm := exec.Command("npm", "install", "--package-lock-only", "--ignore-scripts", "--force", "--os=linux", "--cpu=x64", "--libc=glibc", spec)
	npm.Dir, npm.Stderr = dir, os.Stderr
	if err := npm.Run(); err != nil {
		return nil, fmt.Errorf("npm: %w", err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return nil, err
	}
	var lock struct {
		Packages map[string]locked `json:"packages"`
	}
	if err := json.Unmarshal(raw, &lock); err != nil {
		return nil, err
	}
	var list []agentimage.Package
	for path, p := range lock.Packages {
		where, below := strings.CutPrefix(path, "node_modules/")
		if !below || !fits(p.OS, "linux") || !fits(p.CPU, "x64") || !fits(p.Libc, "glibc") {
			continue
		}
		name := p.Name
		if name == "" {
			name = where[strings.LastIndex("/"+where, "/node_modules/")+1:]
			name = strings.TrimPrefix(name, "node_modules/")
		}
		pkg := agentimage.Package{Name: name, Version: p.Version, Integrity: p.Integrity, Licence: p.Licence}
		if where != name {
			pkg.Path = where
		}
		list = append(list, pkg)
	}
	slices.SortFunc(list, func(a, b agentimage.Package) int { return strings.Compare(a.Name+a.Path, b.Name+b.Path) })
	return list, nil
}

// fits reads npm's lists of platforms: of those that fit, or of those that do not, each with a "!".
func fits(list []string, want string) bool {
	if len(list) > 0 && strings.HasPrefix(list[0], "!") {
		return !slices.Contains(list, "!"+want)
	}
	return len(list) == 0 || slices.Contains(list, want)
}
