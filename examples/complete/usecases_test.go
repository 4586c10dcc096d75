package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/voidbox-run/voidbox"
)

// in boots a VM of its own, runs a line that must succeed, and ends the VM.
func in(t *testing.T, box voidbox.RunnableSandbox, line string) string {
	t.Helper()
	ctx := t.Context()
	b, err := box.Backend("qemu").Build(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(context.WithoutCancel(ctx))
	if err := b.WaitReady(ctx, bootLimit); err != nil {
		t.Fatal(err)
	}
	out, err := b.Exec(ctx, line, nil)
	if err != nil || out.ExitCode != 0 {
		t.Fatalf("%s: exit status %d, %v\n%s", line, out.ExitCode, err, out.Stderr)
	}
	return string(out.Stdout)
}

// directory makes one with files.
func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func idle() voidbox.RunnableSandbox { return voidbox.NewSandbox().Run("sleep", "infinity") }

// Code that a model wrote: it cannot be changed, reaches nobody, and leaves what it makes in one directory.
func TestGeneratedCode(t *testing.T) {
	requireVM(t)
	out := t.TempDir()
	code := directory(t, map[string]string{"main.sh": "! touch /code/x && ! ip route get 192.0.2.1 && echo 42 > /out/answer\n"})
	in(t, idle().Mount("/code", code, "ro").Mount("/out", out, "rw"), "sh /code/main.sh 2>/dev/null")
	if answer, err := os.ReadFile(filepath.Join(out, "answer")); err != nil || string(answer) != "42\n" {
		t.Errorf("answer %q, %v", answer, err)
	}
}

// A test suite works where it likes, and the project stays as it was.
func TestSuiteOfAProject(t *testing.T) {
	requireVM(t)
	project := directory(t, map[string]string{"suite.sh": "sed -i s/x/y/ data && cat data && rm suite.sh && echo passed > report\n", "data": "x\n"})
	if out := in(t, idle().Mount("/workspace", project, "overlay").Dir("/workspace"), "sh suite.sh && cat report"); out != "y\npassed\n" {
		t.Errorf("the suite says %q", out)
	}
	left, err := os.ReadDir(project)
	if data, _ := os.ReadFile(filepath.Join(project, "data")); err != nil || len(left) != 2 || string(data) != "x\n" {
		t.Errorf("the project has %v, %q, %v", left, data, err)
	}
}

// The same sources give the same bytes in two VMs, whose clocks and host names differ.
func TestReproducibleBuild(t *testing.T) {
	requireVM(t)
	source := directory(t, map[string]string{"a": "one\n", "b": "two\n"})
	var built [2][]byte
	for i, name := range []string{"first", "second"} {
		out := t.TempDir()
		in(t, idle().Name(name).Mount("/src", source, "ro").Mount("/out", out, "rw"), "tar -C /src -cf - a b | gzip -n > /out/all.tgz")
		content, err := os.ReadFile(filepath.Join(out, "all.tgz"))
		if err != nil || len(content) == 0 {
			t.Fatalf("%d bytes, %v", len(content), err)
		}
		built[i] = content
	}
	if !bytes.Equal(built[0], built[1]) {
		t.Error("two builds of one source differ")
	}
}
