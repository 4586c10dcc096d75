package skill

import (
	"io/fs"
	"path"
	"strings"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// check refuses what no agent may get, whichever side it comes from: a file must stay within the skill's directory.
func (r Resolved) check() error {
	if len(r.Description) > MaxDescription {
		return errdef.New(errdef.ErrInvalid, "a skill's description has at most %d bytes, not %d", MaxDescription, len(r.Description))
	}
	for _, f := range r.Files {
		if !local(f.Path) {
			return errdef.New(errdef.ErrInvalid, "file %q of a skill is not within its directory", f.Path)
		}
		if f.Mode&^fs.ModePerm != 0 {
			return errdef.New(errdef.ErrInvalid, "file %q of a skill has mode %s: only permission bits may be set", f.Path, f.Mode)
		}
	}
	for _, m := range r.MCPServers {
		if (len(m.Command) == 0) == (m.URL == "") {
			return errdef.New(errdef.ErrInvalid, "MCP server %q needs a command or a URL, one of the two", m.Name)
		}
	}
	return nil
}

// local tells whether a slash-separated path names something below the directory it is relative to.
func local(p string) bool {
	clean := path.Clean(p)
	return p != "" && clean == p && p != "." && p != ".." &&
		!path.IsAbs(p) && !strings.HasPrefix(p, "../") && !strings.ContainsAny(p, "\x00\\")
}

func resolvedToProto(r Resolved) *pluginv1.ResolveSkillResponse {
	resp := &pluginv1.ResolveSkillResponse{Description: r.Description}
	for _, f := range r.Files {
		resp.Files = append(resp.Files, &pluginv1.GuestFile{Path: f.Path, Content: f.Content, Mode: uint32(f.Mode.Perm())})
	}
	for _, m := range r.MCPServers {
		server := &pluginv1.MCPServer{Name: m.Name, Transport: &pluginv1.MCPServer_HttpUrl{HttpUrl: m.URL}}
		if m.URL == "" {
			server.Transport = &pluginv1.MCPServer_Stdio{Stdio: &pluginv1.MCPStdio{Args: m.Command, Env: m.Env}}
		}
		resp.McpServers = append(resp.McpServers, server)
	}
	for _, t := range r.Tools {
		resp.Tools = append(resp.Tools, &pluginv1.Tool{Name: t.Name, Description: t.Description, InputSchemaJson: t.InputSchema})
	}
	return resp
}

func resolvedFromProto(resp *pluginv1.ResolveSkillResponse) (Resolved, error) {
	r := Resolved{Description: resp.GetDescription()}
	for _, f := range resp.GetFiles() {
		r.Files = append(r.Files, llm.File{Path: f.GetPath(), Content: f.GetContent(), Mode: fs.FileMode(f.GetMode())})
	}
	for _, m := range resp.GetMcpServers() {
		server := llm.MCPServer{Name: m.GetName()}
		switch t := m.GetTransport().(type) {
		case *pluginv1.MCPServer_Stdio:
			server.Command, server.Env = t.Stdio.GetArgs(), t.Stdio.GetEnv()
		case *pluginv1.MCPServer_HttpUrl:
			server.URL = t.HttpUrl
		default:
			return r, errdef.New(errdef.ErrUnsupported, "MCP server %q has a transport that this version does not know", m.GetName())
		}
		r.MCPServers = append(r.MCPServers, server)
	}
	for _, t := range resp.GetTools() {
		r.Tools = append(r.Tools, llm.Tool{Name: t.GetName(), Description: t.GetDescription(), InputSchema: t.GetInputSchemaJson()})
	}
	return r, nil
}
