package overlay

import (
	"cmp"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

func keys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// suspects are files that run something on the host later on, without anybody having asked for it by name.
var suspects = []struct {
	flag  string
	paths []string // a path that ends so, or has it in the middle when it ends in a slash
}{
	{"git runs it", []string{".git/hooks/", ".git/config", ".git/config.worktree", ".gitmodules", ".gitattributes", ".husky/", ".githooks/", ".pre-commit-config.yaml", "lefthook.yml"}},
	{"CI runs it", []string{
		".github/", ".gitlab-ci.yml", ".gitlab/", ".circleci/", ".travis.yml", ".drone.yml", ".woodpecker/", ".woodpecker.yml", ".buildkite/",
		"Jenkinsfile", "azure-pipelines.yml", "bitbucket-pipelines.yml", "appveyor.yml", ".forgejo/", ".gitea/", ".ci/",
	}},
	{"an editor acts on it", []string{
		".vscode/", ".idea/", ".fleet/", ".zed/", ".devcontainer/", ".devcontainer.json", ".vim/", ".nvim.lua", ".nvimrc", ".exrc", ".vimrc",
		".dir-locals.el", ".editorconfig", ".sublime-project",
	}},
	{"a shell or tool runs it on entry", []string{".envrc", ".mise.toml", ".tool-versions", ".npmrc", ".yarnrc.yml", ".pnpmfile.cjs", ".cargo/config.toml", ".cargo/config"}},
	{"an agent is told by it", []string{".claude/", "CLAUDE.md", "AGENTS.md", ".cursor/", ".cursorrules", ".mcp.json"}},
}

// flagsOf says why a change deserves a second look before it is applied.
func flagsOf(c *Change) []string {
	var flags []string
	for _, s := range suspects {
		if slices.ContainsFunc(s.paths, func(p string) bool { return concerns(c.Path, p) }) {
			flags = append(flags, s.flag)
		}
	}
	if c.Kind != Removed && c.Mode&fs.ModeSymlink != 0 && leadsOut(c) {
		flags = append(flags, "leads out of the mount")
	}
	if c.stale {
		flags = append(flags, "the host has changed it since")
	}
	if c.hollow {
		flags = append(flags, "is mostly a hole, which takes its whole size when it is applied")
	}
	if c.virtual {
		flags = append(flags, "is no file, and cannot be applied")
	}
	return flags
}

// concerns tells whether a path is a suspect one, at whatever depth.
func concerns(p, suspect string) bool {
	dir, isDir := strings.CutSuffix(suspect, "/")
	in, part := "/"+strings.ToLower(p)+"/", "/"+strings.ToLower(dir)+"/" // some hosts do not tell case apart
	return isDir && strings.Contains(in, part) || strings.HasSuffix(in, part)
}

// leadsOut tells whether a symbolic link leads out of the mount.
func leadsOut(c *Change) bool {
	if path.IsAbs(c.Link) {
		return true
	}
	to := path.Join(path.Dir(c.Path), c.Link)
	return to == ".." || strings.HasPrefix(to, "../")
}
