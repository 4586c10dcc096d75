package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var token = bytes.Repeat([]byte{7}, sandbox.TokenSize)

// fake is a sandbox whose calls are functions.
type fake struct {
	sandbox.Sandbox // panics on what a test does not expect
	exec            func(ctx context.Context, cmd sandbox.Command, stdio sandbox.IO) (sandbox.Exit, error)
	write           func(ctx context.Context, path string, content io.Reader) (int64, error)
	dial            func() (net.Conn, error)
}

func (f *fake) Exec(ctx context.Context, cmd sandbox.Command, stdio sandbox.IO) (sandbox.Exit, error) {
	return f.exec(ctx, cmd, stdio)
}

func (f *fake) WriteFile(ctx context.Context, path string, _ sandbox.WriteOptions, content io.Reader) (int64, error) {
	return f.write(ctx, path, content)
}

func (f *fake) Dial(context.Context, string, string) (net.Conn, error) { return f.dial() }

func (f *fake) Info(context.Context) (sandbox.Info, error) {
	return sandbox.Info{Hostname: "fake"}, nil
}

// listen serves on a unix socket and returns a connection to it.
func listen(t testing.TB, register func(s *grpc.Server)) *grpc.ClientConn {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(sandbox.ServerOptions()...)
	register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	options := append(sandbox.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient("unix:"+path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return conn
}

func serve(t testing.TB, impl sandbox.Sandbox) *grpc.ClientConn {
	return listen(t, func(s *grpc.Server) { sandbox.Register(s, sandbox.Single(token, impl)) })
}

func withToken(ctx context.Context, tokens ...[]byte) context.Context {
	md := metadata.MD{}
	for _, t := range tokens {
		md.Append("voidbox-token-bin", string(t))
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// timeout is the safety net of a test.
func timeout(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestTokenIsAskedForFirst(t *testing.T) {
	conn := serve(t, &fake{})
	wrong := bytes.Repeat([]byte{8}, sandbox.TokenSize)
	for name, tokens := range map[string][][]byte{
		"none": {}, "wrong": {wrong}, "short": {token[:31]}, "long": {append(token[:32:32], 7)}, "two": {token, token}, "empty": {{}},
	} {
		ctx := withToken(timeout(t), tokens...)
		// Both a decodable request and garbage, since neither is to be looked at.
		rpc := pluginv1.NewSandboxClient(conn)
		if _, err := rpc.Stat(ctx, &pluginv1.StatRequest{Path: "relative"}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: unary call: %v", name, err)
		}
		stream, err := rpc.Exec(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: stream: %v", name, err)
		}
	}
	if _, err := sandbox.NewClient(conn, token).Info(timeout(t)); err != nil {
		t.Errorf("right token: %v", err)
	}
}

// waiting runs until it is cancelled, and reports on ended that it was.
func waiting(ended chan<- error) *fake {
	return &fake{exec: func(ctx context.Context, _ sandbox.Command, stdio sandbox.IO) (sandbox.Exit, error) {
		stdio.Started(1)
		<-ctx.Done()
		ended <- ctx.Err()
		return sandbox.Exit{}, ctx.Err()
	}}
}

func TestExecRefusesHostileClient(t *testing.T) {
	start := &pluginv1.ExecRequest{Message: &pluginv1.ExecRequest_Start{Start: &pluginv1.ExecStart{Args: []string{"x"}, Stdin: true}}}
	noStdin := &pluginv1.ExecRequest{Message: &pluginv1.ExecRequest_Start{Start: &pluginv1.ExecStart{Args: []string{"x"}}}}
	stdin := func(n int) *pluginv1.ExecRequest {
		return &pluginv1.ExecRequest{Message: &pluginv1.ExecRequest_Stdin{Stdin: make([]byte, n)}}
	}
	signal := &pluginv1.ExecRequest{Message: &pluginv1.ExecRequest_Signal{Signal: "NONSENSE"}}
	huge := &pluginv1.ExecRequest{Message: &pluginv1.ExecRequest_Resize{Resize: &pluginv1.WindowSize{Rows: 1 << 20}}}
	for name, c := range map[string]struct {
		messages []*pluginv1.ExecRequest
		want     codes.Code
		runs     bool
	}{
		"input first":      {[]*pluginv1.ExecRequest{stdin(1)}, codes.DataLoss, false},
		"nothing in it":    {[]*pluginv1.ExecRequest{{}}, codes.DataLoss, false},
		"no program":       {[]*pluginv1.ExecRequest{{Message: &pluginv1.ExecRequest_Start{Start: &pluginv1.ExecStart{}}}}, codes.InvalidArgument, false},
		"second start":     {[]*pluginv1.ExecRequest{start, start}, codes.DataLoss, true},
		"empty message":    {[]*pluginv1.ExecRequest{start, {}}, codes.DataLoss, true},
		"absurd chunk":     {[]*pluginv1.ExecRequest{start, stdin(sandbox.MaxChunkBytes + 1)}, codes.DataLoss, true},
		"unasked input":    {[]*pluginv1.ExecRequest{noStdin, stdin(1)}, codes.DataLoss, true},
		"unknown signal":   {[]*pluginv1.ExecRequest{start, signal}, codes.InvalidArgument, true},
		"absurd size":      {[]*pluginv1.ExecRequest{start, huge}, codes.InvalidArgument, true},
		"too long message": {[]*pluginv1.ExecRequest{start, stdin(sandbox.MaxMessageBytes + 1)}, codes.ResourceExhausted, true},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			conn := serve(t, waiting(ended))
			stream, err := pluginv1.NewSandboxClient(conn).Exec(withToken(timeout(t), token), grpc.MaxCallSendMsgSize(64<<20))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range c.messages {
				if err := stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
			}
			for err == nil {
				_, err = stream.Recv()
			}
			if status.Code(err) != c.want {
				t.Errorf("answer is %v, want code %v", err, c.want)
			}
			if c.runs {
				<-ended
			}
		})
	}
}

func TestCancelReachesTheCommand(t *testing.T) {
	ended := make(chan error, 1)
	s := sandbox.NewClient(serve(t, waiting(ended)), token)
	ctx, cancel := context.WithCancel(timeout(t))
	_, err := s.Exec(ctx, sandbox.Command{Args: []string{"x"}}, sandbox.IO{Started: func(int) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("command ended with %v", err)
	}
}

func TestSignalOvertakesAMegabyteOfUnreadInput(t *testing.T) {
	s := sandbox.NewClient(serve(t, &fake{exec: func(_ context.Context, _ sandbox.Command, stdio sandbox.IO) (sandbox.Exit, error) {
		c := <-stdio.Control
		return sandbox.Exit{Code: 1, Signal: c.Signal}, nil
	}}), token)
	control := make(chan sandbox.Control, 1)
	control <- sandbox.Control{Signal: "INT"}
	exit, err := s.Exec(timeout(t), sandbox.Command{Args: []string{"x"}}, sandbox.IO{
		Stdin: strings.NewReader(strings.Repeat("x", 1<<20)), Control: control,
	})
	if err != nil || exit.Signal != "INT" {
		t.Errorf("ended with %+v, %v", exit, err)
	}
}

func TestReadOfAPipeEndsWithTheCommand(t *testing.T) {
	s := sandbox.NewClient(serve(t, &fake{exec: func(context.Context, sandbox.Command, sandbox.IO) (sandbox.Exit, error) {
		return sandbox.Exit{}, nil
	}}), token)
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	if _, err := s.Exec(timeout(t), sandbox.Command{Args: []string{"x"}}, sandbox.IO{Stdin: theirs}); err != nil {
		t.Fatal(err)
	}
	// The read was ended and its deadline cleared: the pipe is whole.
	go ours.Write([]byte("x"))
	if _, err := theirs.Read(make([]byte, 1)); err != nil {
		t.Errorf("read after the command: %v", err)
	}
}

func TestWriteFileRefusesHostileClient(t *testing.T) {
	header := &pluginv1.WriteFileHeader{Path: "/f"}
	for name, c := range map[string]struct {
		messages []*pluginv1.WriteFileRequest
		want     codes.Code
	}{
		"no header":     {[]*pluginv1.WriteFileRequest{{Chunk: []byte("x")}}, codes.DataLoss},
		"relative path": {[]*pluginv1.WriteFileRequest{{Header: &pluginv1.WriteFileHeader{Path: "f"}}}, codes.InvalidArgument},
		"no last chunk": {[]*pluginv1.WriteFileRequest{{Header: header, Chunk: []byte("x")}}, codes.Aborted},
		"two headers":   {[]*pluginv1.WriteFileRequest{{Header: header}, {Header: header}}, codes.DataLoss},
		"absurd chunk":  {[]*pluginv1.WriteFileRequest{{Header: header}, {Chunk: make([]byte, sandbox.MaxChunkBytes+1)}}, codes.DataLoss},
	} {
		t.Run(name, func(t *testing.T) {
			conn := serve(t, &fake{write: func(_ context.Context, _ string, content io.Reader) (int64, error) {
				return io.Copy(io.Discard, content)
			}})
			stream, err := pluginv1.NewSandboxClient(conn).WriteFile(withToken(timeout(t), token))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range c.messages {
				if err := stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
			}
			if _, err := stream.CloseAndRecv(); status.Code(err) != c.want {
				t.Errorf("answer is %v, want code %v", err, c.want)
			}
		})
	}
}

// hostile is a server that breaks the contract.
type hostile struct {
	pluginv1.UnimplementedSandboxServer
	exec []*pluginv1.ExecResponse
	file []*pluginv1.ReadFileResponse
	list []*pluginv1.FileInfo
}

func (h *hostile) Exec(stream grpc.BidiStreamingServer[pluginv1.ExecRequest, pluginv1.ExecResponse]) error {
	for _, m := range h.exec {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (h *hostile) ReadFile(_ *pluginv1.ReadFileRequest, stream grpc.ServerStreamingServer[pluginv1.ReadFileResponse]) error {
	for _, m := range h.file {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (h *hostile) ListDir(_ *pluginv1.ListDirRequest, stream grpc.ServerStreamingServer[pluginv1.ListDirResponse]) error {
	return stream.Send(&pluginv1.ListDirResponse{Entries: h.list})
}

func clientOf(t *testing.T, h *hostile) sandbox.Sandbox {
	return sandbox.NewClient(listen(t, func(s *grpc.Server) { pluginv1.RegisterSandboxServer(s, h) }), token)
}

func TestExecRefusesHostileServer(t *testing.T) {
	started := &pluginv1.ExecResponse{Message: &pluginv1.ExecResponse_Started{Started: &pluginv1.ExecStarted{Pid: 1}}}
	exit := func(code int32) *pluginv1.ExecResponse {
		return &pluginv1.ExecResponse{Message: &pluginv1.ExecResponse_Exit{Exit: &pluginv1.ExecExit{Code: code}}}
	}
	for name, messages := range map[string][]*pluginv1.ExecResponse{
		"no exit":         {started},
		"empty message":   {started, {}},
		"two starts":      {started, started, exit(0)},
		"negative pid":    {{Message: &pluginv1.ExecResponse_Started{Started: &pluginv1.ExecStarted{Pid: -1}}}, exit(0)},
		"absurd code":     {exit(256)},
		"negative code":   {exit(-1)},
		"more after exit": {exit(0), started},
		"absurd chunk":    {{Message: &pluginv1.ExecResponse_Stdout{Stdout: make([]byte, sandbox.MaxChunkBytes+1)}}, exit(0)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := clientOf(t, &hostile{exec: messages}).Exec(timeout(t), sandbox.Command{Args: []string{"x"}}, sandbox.IO{})
			if !errors.Is(err, errdef.ErrDataLoss) {
				t.Errorf("error is %v, want errdef.ErrDataLoss", err)
			}
		})
	}
}

func TestFilesOfHostileServer(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../x", "a/b", "/", "/etc", "a\x00", strings.Repeat("x", 2000)} {
		s := clientOf(t, &hostile{list: []*pluginv1.FileInfo{{Name: name}}})
		if _, err := s.ListDir(timeout(t), "/"); !errors.Is(err, errdef.ErrDataLoss) {
			t.Errorf("entry named %.20q: error is %v", name, err)
		}
	}
	s := clientOf(t, &hostile{file: []*pluginv1.ReadFileResponse{{Chunk: make([]byte, 11)}}})
	if _, err := s.ReadFile(timeout(t), "/f", sandbox.Range{Limit: 10}); !errors.Is(err, errdef.ErrDataLoss) {
		t.Errorf("more than was asked for: error is %v", err)
	}
}

// TestLongErrorKeepsItsKind sends an error that is longer than the metadata of a call may be.
func TestLongErrorKeepsItsKind(t *testing.T) {
	f := &fake{exec: func(context.Context, sandbox.Command, sandbox.IO) (sandbox.Exit, error) {
		return sandbox.Exit{}, errdef.New(errdef.ErrNotFound, "%s", strings.Repeat("\u00e9", 64<<10)).WithRemedy("install it")
	}}
	_, err := sandbox.NewClient(serve(t, f), token).Exec(timeout(t), sandbox.Command{Args: []string{"x"}}, sandbox.IO{})
	if !errors.Is(err, errdef.ErrNotFound) || errdef.Remedy(err) != "install it" {
		t.Errorf("error %.200v, remedy %q", err, errdef.Remedy(err))
	}
}

func TestDial(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	got := make(chan string, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		// The whole input comes before the answer, so half-closing works.
		b, _ := io.ReadAll(c)
		got <- string(b)
		c.Write(bytes.ToUpper(b))
	}()
	s := sandbox.NewClient(serve(t, &fake{dial: func() (net.Conn, error) { return net.Dial("tcp", listener.Addr().String()) }}), token)
	conn, err := s.Dial(timeout(t), "tcp", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after the deadline: %v", err)
	}
	conn.SetReadDeadline(time.Time{})
	want := strings.Repeat("hello ", 100_000)
	if _, err := io.WriteString(conn, want); err != nil {
		t.Fatal(err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if g := <-got; g != want {
		t.Errorf("far end got %d bytes, want %d", len(g), len(want))
	}
	b, err := io.ReadAll(conn)
	if err != nil || string(b) != strings.ToUpper(want) {
		t.Errorf("answer of %d bytes, %v", len(b), err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if _, err := conn.Write([]byte("x")); err == nil {
		t.Error("write after close: no error")
	}
}

func TestDialCloseDeliversWhatWasWritten(t *testing.T) {
	near, far := net.Pipe()
	s := sandbox.NewClient(serve(t, &fake{dial: func() (net.Conn, error) { return near, nil }}), token)
	conn, err := s.Dial(timeout(t), "tcp", "x:1")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(far)
		got <- string(b)
	}()
	if _, err := io.WriteString(conn, "last words"); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if g := <-got; g != "last words" {
		t.Errorf("far end got %q", g)
	}
}

// provider makes one kind of sandbox.
type provider struct{ destroyed chan string }

func (provider) Create(_ context.Context, spec sandbox.Spec) (string, sandbox.Sandbox, error) {
	return "id-" + spec.Name, &fake{}, nil
}

func (p provider) Destroy(_ context.Context, id string) error {
	p.destroyed <- id
	return nil
}

func TestProvider(t *testing.T) {
	impl := provider{destroyed: make(chan string, 2)}
	p := sandbox.NewProvider(listen(t, func(s *grpc.Server) { sandbox.RegisterProvider(s, impl) }))
	id, s, err := p.Create(timeout(t), sandbox.Spec{Name: "a"})
	if err != nil || id != "id-a" {
		t.Fatalf("create: %q, %v", id, err)
	}
	if info, err := s.Info(timeout(t)); err != nil || info.Hostname != "fake" {
		t.Errorf("info: %+v, %v", info, err)
	}
	for range 2 {
		if err := p.Destroy(timeout(t), id); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-impl.destroyed; got != id {
		t.Errorf("destroyed %q", got)
	}
	if _, err := s.Info(timeout(t)); !errors.Is(err, errdef.ErrUnauthenticated) {
		t.Errorf("token of a destroyed sandbox: %v", err)
	}
}
