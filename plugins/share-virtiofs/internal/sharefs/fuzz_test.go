//go:build linux

package sharefs

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
)

// newFS serves a directory, and below an overlay another one.
func newFS(t testing.TB) (f *FS, host string) {
	t.Helper()
	host = t.TempDir()
	for _, dir := range []string{"rw/sub", "lower/sub", "upper"} {
		if err := os.MkdirAll(filepath.Join(host, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"rw/file", "lower/file", "lower/sub/file"} {
		if err := os.WriteFile(filepath.Join(host, file), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	open := func(name string) int {
		fd, err := hostfs.Root(filepath.Join(host, name))
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	f, err := New([]Mount{
		{Tag: "rw", Root: open("rw"), Lower: -1}, {Tag: "overlay", Root: open("upper"), Lower: open("lower")},
	}, Limits{Descriptors: 4, Handles: 16, Nodes: 64})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f, host
}

// script makes messages of a fuzzer's bytes: operation, node, length and the body.
func script(b []byte, each func(op fuse.Opcode, node uint64, body []byte)) {
	for len(b) >= 3 {
		op, node, n := fuse.Opcode(b[0]), uint64(b[1]), min(int(b[2]), len(b)-3)
		each(op, node, b[3:3+n])
		b = b[3+n:]
	}
}

// message is a piece of a script.
func message(op fuse.Opcode, node byte, body ...any) []byte {
	var b []byte
	for _, part := range body {
		switch v := part.(type) {
		case int:
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		case uint32:
			b = binary.LittleEndian.AppendUint32(b, v)
		case string:
			b = append(append(b, v...), 0)
		}
	}
	return append([]byte{byte(op), node, byte(len(b))}, b...)
}

func FuzzServe(f *testing.F) {
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	lookups := join(message(fuse.Lookup, 1, "rw"), message(fuse.Lookup, 1, "overlay"), message(fuse.Lookup, 2, "file"), message(fuse.Lookup, 3, "sub"))
	const handle = 1 << 32
	f.Add(join(lookups, message(fuse.Open, 4, uint32(2), uint32(0)), message(fuse.Write, 4, handle, 0, uint32(1), uint32(0), 0, 0),
		message(fuse.Read, 4, handle, 0, uint32(10), uint32(0), 0, 0), message(fuse.Release, 4, handle, 0, 0)))
	f.Add(join(lookups, message(fuse.Create, 3, uint32(0x42), uint32(0o644), uint32(0), uint32(0), "new"), message(fuse.Unlink, 3, "file"),
		message(fuse.Rename2, 3, 3, uint32(0), uint32(0), "new", "file"), message(fuse.Rmdir, 3, "sub")))
	f.Add(join(lookups, message(fuse.Opendir, 3, uint32(0), uint32(0)), message(fuse.Readdirplus, 3, handle, 0, uint32(4096), uint32(0), 0, 0)))
	f.Add(join(lookups, message(fuse.Forget, 4, 1), message(fuse.BatchForget, 1, uint32(2), uint32(0), 5, 1, 4, 1), message(fuse.Getattr, 4, 0, 0)))
	f.Add(join(lookups, message(fuse.Symlink, 2, "link", "../../etc"), message(fuse.Lookup, 2, "link"), message(fuse.Lookup, 2, ".."),
		message(fuse.Mkdir, 2, uint32(0o755), uint32(0), "../out")))
	f.Add(join(message(fuse.Init, 1, uint32(7), uint32(31), 0), lookups, message(fuse.Setattr, 4, uint32(0xfff), uint32(0)), message(fuse.Destroy, 1)))
	f.Add(join(lookups, message(fuse.Tmpfile, 2, uint32(2), uint32(0o600), uint32(0), uint32(0), "/"), message(fuse.Link, 2, 6, "named")))
	f.Fuzz(func(t *testing.T, b []byte) {
		fs, host := newFS(t)
		sentinel := filepath.Join(filepath.Dir(host), "out")
		script(b, func(op fuse.Opcode, node uint64, body []byte) {
			q := &Request{Header: fuse.Header{Opcode: op, Node: node}, Body: body, Room: 64 << 10}
			if op == fuse.Write {
				n := min(len(body), fuse.TransferSize)
				q.Body, q.Data = body[:n], body[n:]
			}
			switch op {
			case fuse.Fallocate, fuse.CopyFileRange, fuse.Fsync, fuse.Fsyncdir, fuse.Syncfs:
				return // which fill disks, or wait for them
			}
			if errno := fs.Serve(q); errno == 0 && len(q.Reply) > q.Room {
				t.Errorf("%v: reply of %d bytes", op, len(q.Reply))
			}
		})
		if _, err := os.Lstat(sentinel); err == nil {
			t.Fatal("something was made outside")
		}
		for _, file := range []string{"lower/file", "lower/sub/file"} {
			if got, err := os.ReadFile(filepath.Join(host, file)); err != nil || string(got) != "x" {
				t.Errorf("%s below the overlay holds %q, %v", file, got, err)
			}
		}
		fs.table.mu.Lock()
		defer fs.table.mu.Unlock()
		if fs.table.count > 64 || fs.table.open > 16 {
			t.Errorf("%d nodes, %d handles", fs.table.count, fs.table.open)
		}
		for _, h := range fs.table.handles {
			if h.handle != nil && h.handle.users != 0 {
				t.Errorf("handle %x has %d users", h.handle.id, h.handle.users)
			}
		}
	})
}

func FuzzDirents(f *testing.F) {
	b := make([]byte, 24)
	binary.LittleEndian.PutUint16(b[16:], 24)
	b[18], b[19] = unix.DT_REG, 'x'
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if list, err := parseDirents(nil, b); err == nil && len(list) > len(b)/19 {
			t.Errorf("%d entries in %d bytes", len(list), len(b))
		}
	})
}
