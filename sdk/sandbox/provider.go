package sandbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"sync"

	"google.golang.org/grpc"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// RegisterProvider serves a provider on s, and the sandboxes that it makes.
func RegisterProvider(s grpc.ServiceRegistrar, impl Provider) {
	p := &providerServer{impl: impl, ids: map[string]tokenHash{}, sandboxes: map[tokenHash]Sandbox{}}
	pluginv1.RegisterSandboxProviderServer(s, p)
	Register(s, p.resolve)
}

// tokenHash is what tokens are looked up by: comparing hashes betrays nothing about a token.
type tokenHash [sha256.Size]byte

type providerServer struct {
	pluginv1.UnimplementedSandboxProviderServer
	impl Provider

	mu        sync.RWMutex
	ids       map[string]tokenHash
	sandboxes map[tokenHash]Sandbox
}

func (p *providerServer) resolve(token []byte) (Sandbox, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	s, ok := p.sandboxes[sha256.Sum256(token)]
	if !ok {
		return nil, errToken
	}
	return s, nil
}

func (p *providerServer) CreateSandbox(ctx context.Context, req *pluginv1.CreateSandboxRequest) (*pluginv1.CreateSandboxResponse, error) {
	spec, err := specFromProto(req)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	id, s, err := p.impl.Create(ctx, spec)
	if err != nil {
		return nil, errdef.ToStatus(err)
	}
	info, err := s.Info(ctx)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		// The caller never learns of it, so nobody else would destroy it.
		_ = p.impl.Destroy(context.WithoutCancel(ctx), id)
		return nil, errdef.ToStatus(err)
	}
	token := make([]byte, TokenSize)
	rand.Read(token) // never fails
	p.mu.Lock()
	defer p.mu.Unlock()
	hash := tokenHash(sha256.Sum256(token))
	p.ids[id], p.sandboxes[hash] = hash, s
	return &pluginv1.CreateSandboxResponse{Id: id, Token: token, Capabilities: info.Capabilities}, nil
}

func (p *providerServer) DestroySandbox(ctx context.Context, req *pluginv1.DestroySandboxRequest) (*pluginv1.DestroySandboxResponse, error) {
	p.mu.Lock()
	if hash, ok := p.ids[req.GetId()]; ok {
		delete(p.sandboxes, hash)
		delete(p.ids, req.GetId())
	}
	p.mu.Unlock()
	if err := p.impl.Destroy(ctx, req.GetId()); err != nil {
		return nil, errdef.ToStatus(err)
	}
	return &pluginv1.DestroySandboxResponse{}, nil
}

// NewProvider returns the provider at the far end of conn. The sandboxes that it makes are clients over the same connection.
func NewProvider(conn grpc.ClientConnInterface) Provider {
	return &providerClient{conn: conn, rpc: pluginv1.NewSandboxProviderClient(conn)}
}

type providerClient struct {
	conn grpc.ClientConnInterface
	rpc  pluginv1.SandboxProviderClient
}

func (p *providerClient) Create(ctx context.Context, spec Spec) (string, Sandbox, error) {
	if err := spec.Check(); err != nil {
		return "", nil, err
	}
	resp, err := p.rpc.CreateSandbox(ctx, specToProto(spec))
	if err != nil {
		return "", nil, errdef.FromStatus(err)
	}
	if resp.GetId() == "" || len(resp.GetId()) > maxNameBytes || len(resp.GetToken()) != TokenSize {
		return "", nil, broken("a sandbox with an id of %d bytes and a token of %d", len(resp.GetId()), len(resp.GetToken()))
	}
	return resp.GetId(), NewClient(p.conn, bytes.Clone(resp.GetToken())), nil
}

func (p *providerClient) Destroy(ctx context.Context, id string) error {
	_, err := p.rpc.DestroySandbox(ctx, &pluginv1.DestroySandboxRequest{Id: id})
	return errdef.FromStatus(err)
}

// Check demands absolute paths and text that can cross the wire.
func (s Spec) Check() error {
	if s.CPUs < 0 {
		return errdef.New(errdef.ErrInvalid, "%d processors", s.CPUs)
	}
	for _, f := range s.Files {
		if err := CheckPath(f.Path); err != nil {
			return err
		}
	}
	for _, text := range []string{s.Name, s.Hostname} {
		if err := checkText("name", text); err != nil {
			return err
		}
	}
	if len(s.Main) > 0 || len(s.Env) > 0 {
		args := s.Main
		if len(args) == 0 {
			args = []string{"none"}
		}
		return Command{Args: args, Env: s.Env}.Check()
	}
	return nil
}

func specToProto(s Spec) *pluginv1.CreateSandboxRequest {
	req := &pluginv1.CreateSandboxRequest{
		Name:        s.Name,
		Hostname:    s.Hostname,
		Cpus:        uint32(s.CPUs),
		MemoryBytes: s.MemoryBytes,
		Env:         s.Env,
		Main:        s.Main,
	}
	for _, f := range s.Files {
		req.Files = append(req.Files, &pluginv1.CreateSandboxRequest_SeedFile{Path: f.Path, Content: f.Content, Mode: ModeToUnix(f.Mode)})
	}
	return req
}

func specFromProto(req *pluginv1.CreateSandboxRequest) (Spec, error) {
	s := Spec{
		Name:        req.GetName(),
		Hostname:    req.GetHostname(),
		CPUs:        int(req.GetCpus()),
		MemoryBytes: req.GetMemoryBytes(),
		Env:         req.GetEnv(),
		Main:        req.GetMain(),
	}
	for _, f := range req.GetFiles() {
		s.Files = append(s.Files, SeedFile{Path: f.GetPath(), Content: f.GetContent(), Mode: ModeFromUnix(f.GetMode())})
	}
	return s, s.Check()
}
