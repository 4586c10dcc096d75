package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func TestNames(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"layout", "rootfs", "odd:name"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tar := make([]byte, 512)
	copy(tar[257:], "ustar")
	for name, content := range map[string]string{"layout/oci-layout": "{}", "odd:name/oci-layout": "{}", "disk.img": "disk", "save.tar": string(tar)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	at := func(name string) string { return filepath.Join(dir, name) }
	for text, want := range map[string]Source{
		"base":                             {Kind: Base},
		"node:22":                          {Ref: "docker.io/library/node:22"},
		"docker.io/library/node:22-slim":   {Ref: "docker.io/library/node:22-slim"},
		"ghcr.io/a/b":                      {Ref: "ghcr.io/a/b:latest"},
		"localhost:5000/a@" + digest:       {Ref: "localhost:5000/a@" + digest},
		"./layout":                         {Kind: Layout, Path: at("layout")},
		"oci:layout":                       {Kind: Layout, Path: at("layout")},
		"oci:./layout:v1":                  {Kind: Layout, Path: at("layout"), Ref: "v1"},
		"oci:./layout@" + digest:           {Kind: Layout, Path: at("layout"), Ref: digest},
		"oci:./odd:name":                   {Kind: Layout, Path: at("odd:name")},
		"oci:./odd:name:v1":                {Kind: Layout, Path: at("odd:name"), Ref: "v1"},
		"./rootfs/":                        {Kind: Directory, Path: at("rootfs")},
		"dir:" + at("rootfs"):              {Kind: Directory, Path: at("rootfs")},
		"dir:./layout":                     {Kind: Directory, Path: at("layout")},
		"./save.tar":                       {Kind: Archive, Path: at("save.tar")},
		"docker-archive:save.tar:some/a:1": {Kind: Archive, Path: at("save.tar"), Ref: "some/a:1"},
		"disk.img":                         {Kind: Disk, Path: at("disk.img")},
		"disk:save.tar":                    {Kind: Disk, Path: at("save.tar")},
	} {
		got, err := Parse(text, dir)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
			continue
		}
		if again, err := Parse(got.String(), "/elsewhere"); err != nil || again != want {
			t.Errorf("%s became %s, which is %+v, %v", text, got, again, err)
		}
	}
	var missing *MissingError
	for _, text := range []string{"./nothing", "/nothing/here.img", "oci:./nothing", "dir:./nothing", "disk:nothing"} {
		if _, err := Parse(text, dir); !errors.As(err, &missing) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"debian", "", "oci:./rootfs", "oci:./disk.img", "dir:./disk.img", "disk:./rootfs", "A/b:1", "a b/c", "a/b@sha256:1", "a/b:" + strings.Repeat("x", 200)} {
		if _, err := Parse(text, dir); !errors.Is(err, errdef.ErrInvalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
