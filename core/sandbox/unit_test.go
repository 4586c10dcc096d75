package sandbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// socketPath returns a short path for a socket.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "vsock")
}

// answering serves one connection: it reads the request line and answers with what is given, then what follows it.
func answering(t *testing.T, answer string) string {
	t.Helper()
	path := socketPath(t)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := readLine(conn, 64); err != nil {
			return
		}
		_, _ = conn.Write([]byte(answer))
		if answer == "" || !strings.Contains(answer, "\n") && len(answer) < maxAnswer {
			_, _ = readLine(conn, 64) // until the client gives up
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return path
}

func TestHandshakeLeavesWhatFollows(t *testing.T) {
	conn, err := DialGuest(t.Context(), answering(t, "OK 1073741824\nhello\n"), 1234)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if line, err := readLine(conn, 16); err != nil || line != "hello" {
		t.Errorf("what follows the handshake = %q, %v", line, err)
	}
}

func TestHandshakeThatFails(t *testing.T) {
	for name, c := range map[string]struct{ answer, says string }{
		"refused":  {"\n", "not OK"},
		"garbage":  {"\x00\xff\n", "not OK"},
		"endless":  {strings.Repeat("O", 4096), "longer than 32 bytes"},
		"in parts": {"OK 1", "context canceled"},
		"silence":  {"", "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if strings.Contains(c.says, "canceled") {
				time.AfterFunc(50*time.Millisecond, cancel)
			}
			conn, err := DialGuest(ctx, answering(t, c.answer), 1234)
			if err == nil {
				_ = conn.Close()
			}
			if !errors.Is(err, errdef.ErrUnavailable) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error = %v, want %q in it", err, c.says)
			}
		})
	}
	if _, err := DialGuest(t.Context(), "/nonexistent/vsock", 1); !errors.Is(err, errdef.ErrUnavailable) {
		t.Errorf("no socket at all: %v", err)
	}
}

func TestAnnouncementsOfTheFirstConnectionOnly(t *testing.T) {
	path := socketPath(t)
	var heard []boot.Stage
	a, err := listenAnnouncements(path, func(m boot.Announcement) { heard = append(heard, m.Stage) })
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprintf("%s_%d", path, announcePort)
	if info, err := os.Stat(port); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info, err)
	}
	agent, err := net.Dial("unix", port)
	if err != nil {
		t.Fatal(err)
	}
	if err := (boot.Announcement{Stage: boot.StageFailed, At: boot.StageMounts, Error: "no disk"}).Write(agent); err != nil {
		t.Fatal(err)
	}
	<-a.done
	if _, err := net.Dial("unix", port); err == nil {
		t.Error("a second connection was taken")
	}
	_ = agent.Close()
	a.finish(time.Minute)
	if diff := cmp.Diff([]boot.Stage{boot.StageFailed}, heard); diff != "" {
		t.Error(diff)
	}
	if f := a.failure(); f == nil || f.Error != "no disk" {
		t.Errorf("failure = %+v", f)
	}
}

func TestAnnouncementsEndWithoutAGuest(t *testing.T) {
	path := socketPath(t)
	a, err := listenAnnouncements(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.finish(time.Minute)
	silent, err := listenAnnouncements(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", fmt.Sprintf("%s_%d", path, announcePort))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	silent.finish(10 * time.Millisecond) // a guest that holds its connection does not hold us
}

func TestUsers(t *testing.T) {
	for name, want := range map[string]boot.User{
		"":        {},
		"sandbox": {},
		"root":    {Name: "root", Home: "/root"},
		"1001":    {UID: 1001, GID: 1001, Name: "user1001", Home: "/"},
		"7:8":     {UID: 7, GID: 8, Name: "user7", Home: "/"},
	} {
		if got, err := parseUser(name, nil, nil); err != nil || got != want {
			t.Errorf("parseUser(%q) = %+v, %v; want %+v", name, got, err, want)
		}
	}
	for _, name := range []string{"alice", "1:", ":1", "-1", "1:2:3", "4294967296"} {
		if _, err := parseUser(name, nil, nil); !errors.Is(err, errdef.ErrInvalid) {
			t.Errorf("parseUser(%q): error = %v", name, err)
		}
	}
}

func TestMachineNames(t *testing.T) {
	for name, want := range map[string]string{
		"box": "box", "First Box": "first-box", "-": "sandbox", "": "sandbox", "Ünïcode!": "n-code",
		strings.Repeat("a", 62) + "-bcd": strings.Repeat("a", 62),
	} {
		if got := machineName(name); got != want {
			t.Errorf("machineName(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestFileSystemsAreRecognised(t *testing.T) {
	disk := func(at int, magic []byte) string {
		content := make([]byte, 4096)
		copy(content[superblock+at:], magic)
		path := filepath.Join(t.TempDir(), "disk.raw")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for want, path := range map[string]string{
		"ext4":  disk(ext4At, binary.LittleEndian.AppendUint16(nil, ext4Magic)),
		"erofs": disk(0, binary.LittleEndian.AppendUint32(nil, erofsMagic)),
	} {
		if got, err := detectFS(path); err != nil || got != want {
			t.Errorf("detectFS = %q, %v; want %q", got, err, want)
		}
	}
	if _, err := detectFS(disk(0, nil)); !errors.Is(err, errdef.ErrInvalid) || errdef.Remedy(err) == "" {
		t.Errorf("an empty disk: %v", err)
	}
}

func TestBootConfigsShareNoSecret(t *testing.T) {
	spec := Spec{Main: []string{"sleep", "1"}, Commands: []string{"git"}, Limits: sandbox.Limits{OpenFiles: 9}}.withDefaults()
	one, err := spec.bootConfig(time.Unix(1, 0), rootfs{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := spec.bootConfig(time.Unix(1, 0), rootfs{})
	if err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(one.Token, other.Token) || cmp.Equal(one.Seed, other.Seed) || len(one.Token) != sandbox.TokenSize {
		t.Error("two VMs have the same token or seed")
	}
	if one.Limits.OpenFiles != 9 || one.Main.Args[0] != "sleep" || one.Commands[0] != "git" || one.Hostname != "sandbox" {
		t.Errorf("boot configuration = %+v", one)
	}
	segment, err := bootSegment(one)
	if err != nil || len(segment) == 0 {
		t.Errorf("segment of %d bytes, %v", len(segment), err)
	}
}

func TestConsoleTailIsHarmless(t *testing.T) {
	var tail consoleTail
	if got := tail.lines(3); got != "" {
		t.Errorf("nothing became %q", got)
	}
	for range 2000 {
		tail.add([]byte("0123456789abcdef\r\n"))
	}
	tail.add([]byte("\x1b]0;owned\x07\x1b[2Jlast\xff\x9b\n"))
	got := tail.lines(2)
	if strings.ContainsAny(got, "\x1b\x07\r\u009b") || !strings.HasPrefix(got, "0123456789abcdef\n") || !strings.Contains(got, "last") {
		t.Errorf("tail = %q", got)
	}
	if len(tail.data) > tailBytes {
		t.Errorf("%d bytes are kept, more than %d", len(tail.data), tailBytes)
	}
}

func TestConsoleTellsTheStage(t *testing.T) {
	var tail consoleTail
	if got := tail.stage(); got != StageKernel {
		t.Errorf("stage of a silent guest = %q", got)
	}
	tail.add([]byte("[ 0.3] Linux\r\nvoidbox: stage start\r\nvoidbox: stage modules\r\nvoidbox: stage failed (in modules): no vsock device\r\n"))
	if got := tail.stage(); got != "agent: modules" {
		t.Errorf("stage = %q", got)
	}
}

// provider is a sandbox plugin that makes nothing.
type provider struct {
	destroyed []string
	err       error
}

func (p *provider) Create(context.Context, sandbox.Spec) (string, sandbox.Sandbox, error) {
	return "7", nil, p.err
}

func (p *provider) Destroy(_ context.Context, id string) error {
	p.destroyed = append(p.destroyed, id)
	return nil
}

func TestPluginSandboxIsDestroyedOnce(t *testing.T) {
	p := &provider{}
	s, err := NewPlugin(t.Context(), p, sandbox.Spec{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if s.SocketPath() != "" || s.Token() != nil || s.Accelerator() != "" || s.Err() != nil || s.Stopped() != nil {
		t.Error("a sandbox without a VM shows parts of one")
	}
	if err := s.Console(t.Context(), false, nil); !errors.Is(err, errdef.ErrUnsupported) {
		t.Errorf("console: %v", err)
	}
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"7"}, p.destroyed); diff != "" {
		t.Error(diff)
	}
	p.err = errdef.ErrExhausted
	if _, err := NewPlugin(t.Context(), p, sandbox.Spec{Name: "x"}); !errors.Is(err, errdef.ErrExhausted) {
		t.Errorf("error = %v", err)
	}
}
