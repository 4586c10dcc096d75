package importrules

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

type listedPackage struct {
	ImportPath string
	Dir        string
	Imports    []string
	Deps       []string
	Name       string
	Doc        string
	GoFiles    []string
}

func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,Deps,Name,Doc,GoFiles", module+"/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listedPackage
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listedPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func TestImportRules(t *testing.T) {
	packages := listPackages(t)
	if len(packages) < 20 {
		t.Fatalf("go list found only %d packages; the test sees nothing", len(packages))
	}
	for _, p := range packages {
		for _, imp := range p.Imports {
			if b := banned(p.ImportPath, imp, false); b != nil {
				t.Errorf("%s imports %s: %s", p.ImportPath, imp, b.reason)
			}
			from, to := pluginRoom(p.ImportPath), pluginRoom(imp)
			if from != "" && to != "" && from != to {
				t.Errorf("%s imports %s: plugins do not import each other", p.ImportPath, imp)
			}
		}
		for _, dep := range p.Deps {
			if b := banned(p.ImportPath, dep, true); b != nil {
				t.Errorf("%s depends on %s: %s", p.ImportPath, dep, b.reason)
			}
		}
	}
}

func TestEveryPackageTeachesItsIdea(t *testing.T) {
	for _, p := range listPackages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no doc comment", p.ImportPath)
		}
		switch p.Name {
		case "util", "utils", "common", "helpers":
			t.Errorf("%s: a package is named for what it does, not %q", p.ImportPath, p.Name)
		}
	}
}

func TestPluginMainsAreShort(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.Name != "main" || !strings.Contains(p.ImportPath, "/plugins/") {
			continue
		}
		source, err := os.ReadFile(filepath.Join(p.Dir, "main.go"))
		if err != nil {
			t.Errorf("%s: a plugin starts in main.go: %v", p.ImportPath, err)
			continue
		}
		if lines := bytes.Count(source, []byte("\n")); lines > 50 {
			t.Errorf("%s/main.go has %d lines, at most 50: the work belongs in internal packages", p.ImportPath, lines)
		}
	}
}

func TestUnsafeLivesInUnsafeFiles(t *testing.T) {
	for _, p := range listPackages(t) {
		if strings.Contains(p.ImportPath, "/api/") {
			continue // generated
		}
		for _, name := range p.GoFiles {
			source, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(source, []byte("\t\"unsafe\"\n")) && !strings.Contains(name, "unsafe") {
				t.Errorf("%s/%s imports unsafe: such code lives in *_unsafe.go files", p.ImportPath, name)
			}
		}
	}
}

func TestBansCatchWhatTheyName(t *testing.T) {
	cases := []struct {
		from, to string
		deep     bool
		want     bool
	}{
		{module + "/core/run", module + "/plugins/vmm-qemu/internal/qmp", false, true},
		{module + "/plugins/vmm-qemu", module + "/core/plan", false, true},
		{module + "/plugins/vmm-qemu", module + "/sdk", false, false},
		{module + "/core/plan", module + "/core/event", false, true},
		{module + "/core/run", "github.com/hashicorp/hcl/v2", false, true},
		{module + "/core/config", "github.com/hashicorp/hcl/v2/hclwrite", false, false},
		{module + "/guest/agent/internal/serve", "github.com/hashicorp/go-plugin", true, true},
		{module + "/sdk", "github.com/hashicorp/go-plugin", true, false},
		{module + "/sdk/sandbox", "github.com/hashicorp/go-plugin", true, true},
		{module + "/core/pipeline", "os/exec", false, true},
	}
	for _, c := range cases {
		if got := banned(c.from, c.to, c.deep) != nil; got != c.want {
			t.Errorf("banned(%s, %s, deep=%v) = %v, want %v", c.from, c.to, c.deep, got, c.want)
		}
	}
}
