package importrules

import (
	"path"
	"strings"
)

const module = "github.com/voidbox-run/voidbox"

// A ban forbids packages that match From to import, directly or (Deep) through others, packages that match To.
type ban struct {
	from   []string // patterns below the module; a trailing /... matches everything below
	except []string // packages that the ban does not concern
	to     []string // patterns: below the module when they start with "./", else import paths
	deep   bool
	reason string
}

var bans = []ban{
	{
		from: []string{"./core/...", "./sdk/...", "./virtio/...", "./link/...", "./api/..."}, to: []string{"./plugins/..."},
		reason: "the core and the contracts know plugins only through gRPC; whoever links one in has no process boundary left",
	},
	{
		from: []string{"./plugins/...", "./guest/..."}, to: []string{"./core/...", "./cmd/...", "."},
		reason: "a plugin must build from sdk alone, as a third party's does",
	},
	{
		from: []string{"./sdk/...", "./virtio/...", "./link/...", "./api/..."}, to: []string{"./core/...", "./cmd/...", "./guest/...", "."},
		reason: "nothing points up: these are the ground floors",
	},
	{
		from: []string{"./core/..."}, to: []string{"./cmd/...", "./guest/...", "./virtio/...", "./link/...", "."},
		reason: "the core speaks to devices and guests through contracts",
	},
	{
		from: []string{"./guest/..."}, to: []string{"./plugins/...", "./virtio/...", "./sdk", "github.com/hashicorp/go-plugin", "github.com/hashicorp/go-hclog"}, deep: true,
		reason: "the guest agent is PID 1 of every VM: small, and no plugin",
	},
	{
		from: []string{"./sdk/..."}, except: []string{"./sdk"}, to: []string{"github.com/hashicorp/go-plugin", "github.com/hashicorp/go-hclog"}, deep: true,
		reason: "the guest agent imports contract packages; go-plugin stays in the root of sdk",
	},
	{
		from: []string{"./virtio/..."}, to: []string{"./sdk/...", "./api/..."},
		reason: "device models know rings and memory, not who drives them",
	},
	{
		from: []string{"./core/plan", "./core/event"}, to: []string{"./..."},
		reason: "the plan and the event stream are the vocabulary of all others and depend on none",
	},
	{
		from: []string{"./core/pipeline"}, to: []string{"./core/run", "./core/agent", "./core/sandbox", "./core/pluginhost", "./core/image", "./core/config", "os", "net", "os/exec"},
		reason: "the graph is pure, so that another engine can execute it",
	},
	{
		from: []string{"./..."}, except: []string{"./core/config"},
		to:     []string{"github.com/hashicorp/hcl/v2/...", "github.com/zclconf/go-cty/..."},
		reason: "the language has one home, core/config",
	},
	{
		from: []string{"./..."}, except: []string{"./sdk", "./core/pluginhost/..."}, to: []string{"github.com/hashicorp/go-plugin/..."},
		reason: "go-plugin's defaults are not safe enough; only sdk and core/pluginhost know how to tame it",
	},
	{
		from: []string{"./..."}, except: []string{"./plugins/net-slirp/..."}, to: []string{"gvisor.dev/gvisor/..."},
		reason: "gVisor has one home, net-slirp",
	},
	{
		from: []string{"./..."}, except: []string{"./plugins/net-tap/..."}, to: []string{"github.com/songgao/water/..."},
		reason: "water has one home, net-tap",
	},
	{
		from: []string{"./..."}, except: []string{"./core/image/...", "./internal/testimage", "./bench/image"}, to: []string{"github.com/google/go-containerregistry/..."},
		reason: "registries have one home, core/image/oci",
	},
	{
		from: []string{"./..."}, except: []string{"./core/skill/mcp", "./internal/mcpstandin"}, to: []string{"github.com/modelcontextprotocol/go-sdk/..."},
		reason: "the Model Context Protocol has one home, core/skill/mcp",
	},
}

// banned returns the ban that forbids from to import to, for direct imports or for all dependencies.
func banned(from, to string, deep bool) *ban {
	for i := range bans {
		b := &bans[i]
		if deep && !b.deep {
			continue
		}
		if matchAny(b.from, from) && !matchAny(b.except, from) && matchAny(b.to, to) && !sameRoom(b, from, to) {
			return b
		}
	}
	return nil
}

// sameRoom lets a package import what lies in its own folder, where a wide pattern would forbid it.
func sameRoom(b *ban, from, to string) bool {
	return b.to[0] == "./..." && strings.HasPrefix(to+"/", from+"/")
}

// pluginRoom returns plugins/<name> for a package of a plugin, else "".
func pluginRoom(pkg string) string {
	rest, ok := strings.CutPrefix(pkg, module+"/plugins/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return path.Join("plugins", name)
}

func matchAny(patterns []string, pkg string) bool {
	for _, p := range patterns {
		if match(p, pkg) {
			return true
		}
	}
	return false
}

func match(pattern, pkg string) bool {
	if pattern == "." {
		return pkg == module
	}
	if rest, ok := strings.CutPrefix(pattern, "./"); ok {
		if rest == "..." {
			return pkg == module || strings.HasPrefix(pkg, module+"/")
		}
		pattern = module + "/" + rest
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == base || strings.HasPrefix(pkg, base+"/")
	}
	return pkg == pattern
}
