package config

import (
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/voidbox-run/voidbox/core/image/source"
	"github.com/voidbox-run/voidbox/core/plan"
)

// Bounds of a sandbox.
const (
	minMemory = 64 << 20
	maxMemory = 16 << 40
	minDisk   = 128 << 20
	maxDisk   = 8 << 40
	maxCPUs   = 255
	maxCount  = 1 << 40
)

// evalSandbox reads a sandbox block.
func (l *loader) evalSandbox(b *hcl.Block) (cty.Value, hcl.Diagnostics) {
	d := l.decode(b, sandboxBlock)
	s := &plan.Sandbox{Name: b.Labels[0]}
	profiles := d.profiles()
	s.Exposed = d.exposedAddrs()
	d.exposed = toSet(s.Exposed)

	s.Backend = orDefault(d.str("backend"), plan.BackendAuto)
	s.CPUs = int(d.integer("cpus", 1, maxCPUs, plan.DefaultCPUs))
	s.MemoryBytes = d.size("memory", minMemory, maxMemory, plan.DefaultMemoryBytes)
	s.DiskBytes = d.size("disk", minDisk, maxDisk, 0)
	s.Kernel, s.Initrd = d.existing("kernel"), d.existing("initrd")
	s.Hostname = d.hostname(s.Name)
	s.User = d.str("user")
	s.WorkingDir = d.guestPath("working_dir")
	s.Env = d.env()
	s.Packages = d.packages()
	s.Commands = d.commands()
	s.ReadyTimeout = d.duration("ready_timeout", plan.DefaultReadyTimeout)
	s.Main, s.Args = d.strs("main"), d.strs("args")
	for _, p := range profiles {
		s.Packages = append(s.Packages, p.packages...)
	}
	d.mainProcess(s, b.DefRange)
	s.Restart = d.choice("restart")
	d.limits(s)
	d.mounts(s)
	d.keys(s, profiles)
	d.merge(s, profiles)
	d.network(s)
	d.backend(s)
	if !d.ok() {
		return cty.NilVal, d.diags
	}
	l.plan.Sandboxes = append(l.plan.Sandboxes, s)
	return cty.CapsuleVal(sandboxType, s), d.diags
}

// exposedAddrs reads expose: the addresses of the sensitive values that it lists.
func (d *decoder) exposedAddrs() []string {
	attr := d.content.Attributes["expose"]
	if attr == nil {
		return nil
	}
	v, diags := d.l.eval(attr.Expr, d.local)
	d.diags = append(d.diags, diags...)
	if v == cty.NilVal {
		d.gaveUp = true
		return nil
	}
	addrs := origins(v)
	if plain, _ := v.Unmark(); !plain.Type().IsTupleType() && !plain.Type().IsListType() || len(addrs) == 0 {
		d.fail(at(attr.Expr.Range(), "Nothing to expose", "\"expose\" lists secrets and sensitive variables, such as [secret.token]."))
		return nil
	}
	return addrs
}

// mainProcess decides what runs in the sandbox: main, or the image's own entrypoint; one of them, and only one.
func (d *decoder) mainProcess(s *plan.Sandbox, decl hcl.Range) {
	image, known := d.value("image", cty.String)
	switch {
	case !d.has("main") && !d.has("image") && len(s.Packages) == 0 && !d.ok():
		return // it may be what was misspelt
	case len(s.Packages) > 0 && d.has("image"):
		d.fail(at(d.rng("image"), "Two root file systems", "Packages, those of profiles among them, make a root file system of their own, and %q names another. Keep one of them.", "image"))
		return
	case !d.has("main") && !d.has("image") && len(s.Packages) == 0:
		d.fail(at(decl, "No main process", "A sandbox needs something to run: main = [\"program\", \"argument\"], or an image that has a main process of its own, such as image = \"base\"."))
		return
	case d.has("main") && d.has("args"):
		d.fail(at(d.rng("args"), "Two main processes", "\"main\", at %s, is the whole main process. \"args\" are arguments for the main process of the image, which \"main\" replaces. Keep one of them.", place(d.rng("main"))))
		return
	case s.Main != nil && (len(s.Main) == 0 || s.Main[0] == ""):
		d.fail(at(d.rng("main"), "Empty main process", "\"main\" needs at least the name of a program."))
		return
	}
	s.Image = plan.ImageBase
	if known && image.IsKnown() {
		s.Image = d.image(image.AsString())
	}
	if s.Image == plan.ImageBase && len(s.Packages) == 0 && d.has("disk") {
		d.fail(at(d.rng("disk"), "A disk for nothing", "The image \"base\" lives in the guest's memory and writes to no disk. Leave out \"disk\" and raise \"memory\", or name another image."))
	}
	if s.Image == plan.ImageBase && d.has("args") {
		d.fail(at(d.rng("args"), "Arguments for nobody", "The main process of image \"base\" sleeps and takes no arguments. Use \"main\"."))
	}
}

// image reads the name of an image, and makes the path in it absolute.
func (d *decoder) image(name string) string {
	src, err := source.Parse(name, d.l.dir)
	var missing *source.MissingError
	switch {
	case err == nil:
		return src.String()
	case errors.As(err, &missing):
		d.fail(at(d.rng("image"), "No such file", "The image %s does not exist (looked for %s).", missing.Given, missing.Path))
	case nearest(name, []string{plan.ImageBase}) != "":
		d.fail(at(d.rng("image"), "Unknown image", "There is no image %q. Did you mean \"base\"?", name))
	default:
		d.fail(at(d.rng("image"), "Unknown image", "%s.%s", sentence(err), remedyText(err)))
	}
	return name
}

var hostnamePattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

// hostname reads the host name; the sandbox's name, made fit, is the default.
func (d *decoder) hostname(sandbox string) string {
	name := d.str("hostname")
	if d.has("hostname") && d.ok() && !hostnamePattern.MatchString(name) && name != plan.Redacted {
		d.fail(at(d.rng("hostname"), "Invalid host name", "%q is not a host name: letters, digits and \"-\", 63 at most.", name))
	}
	if name != "" {
		return name
	}
	fit := strings.Map(func(r rune) rune {
		if r < 128 && hostnamePattern.MatchString(string(r)) {
			return r
		}
		return '-'
	}, sandbox)
	return orDefault(strings.Trim(fit[:min(len(fit), 63)], "-"), "sandbox")
}

// guestPath reads a path within the guest, which must be absolute.
func (d *decoder) guestPath(name string) string {
	p := d.str(name)
	if p == "" || p == plan.Redacted {
		return p
	}
	if diag := checkGuestPath(p, d.rng(name)); diag != nil {
		d.fail(diag)
	}
	return p
}

// guestHome replaces a "~" in front by the home of the sandbox's user, if that has one.
func guestHome(p, user string) string {
	if p != "~" && !strings.HasPrefix(p, "~/") {
		return p
	}
	switch user {
	case "", "sandbox":
		return "/home/sandbox" + p[1:]
	case "root":
		return "/root" + p[1:]
	}
	return p
}

func checkGuestPath(p string, r hcl.Range) *hcl.Diagnostic {
	if !path.IsAbs(p) || path.Clean(p) != strings.TrimSuffix(p, "/") && p != "/" || strings.ContainsRune(p, 0) {
		return at(r, "Invalid guest path", "%q must be an absolute path without \"..\".", p)
	}
	return nil
}

// commands reads the list of the programs that may be started. An empty one would allow none, or be none: it has to be said.
func (d *decoder) commands() []string {
	rules := d.strs("commands")
	if d.has("commands") && d.ok() && len(rules) == 0 {
		d.fail(at(d.rng("commands"), "No commands", "An empty list would allow no command at all. Leave it out to allow all."))
	}
	for _, rule := range rules {
		if rule == "" || strings.Contains(rule, "/") && !path.IsAbs(rule) || strings.ContainsRune(rule, 0) {
			d.fail(at(d.rng("commands"), "Invalid command", "%q is not the name of a program, such as \"git\", nor an absolute path, such as \"/usr/bin/git\" or \"/opt/tools/\".", rule))
		}
	}
	return rules
}

// env reads the environment.
func (d *decoder) env() map[string]string {
	env := d.strMap("env")
	for _, key := range sortedKeys(env) {
		if key == "" || strings.ContainsAny(key, "=\x00") || strings.ContainsRune(env[key], 0) {
			d.fail(at(d.rng("env"), "Invalid environment", "%q cannot be the name of a variable of the environment, or its value holds a zero byte.", key))
		}
	}
	return env
}

func (d *decoder) limits(s *plan.Sandbox) {
	n := d.nested("limits")
	if n == nil {
		return
	}
	s.Limits = plan.Limits{
		MemoryBytes:   n.size("memory", 1<<20, maxMemory, 0),
		OpenFiles:     uint64(n.integer("open_files", 3, maxCount, 0)),
		Processes:     uint64(n.integer("processes", 1, maxCount, 0)),
		FileSizeBytes: n.size("file_size", 0, maxSize, 0),
		CPUTime:       n.duration("cpu_time", 0),
	}
	d.absorb(n)
}

func (d *decoder) mounts(s *plan.Sandbox) {
	first := map[string]hcl.Range{}
	for _, b := range d.blocks["mount"] {
		target, diag := mountTarget(b.Labels[0], s.User, b.LabelRanges[0])
		if diag != nil {
			d.fail(diag)
			continue
		}
		if r, ok := first[target]; ok {
			d.fail(at(b.LabelRanges[0], "Duplicate mount", "Something is mounted at %s already, at %s.", target, place(r)))
			continue
		}
		first[target] = b.LabelRanges[0]
		n := d.l.decode(b, d.spec.nested("mount"))
		n.exposed = d.exposed
		s.Mounts = append(s.Mounts, plan.Mount{Target: target, Source: n.existing("source"), Mode: orDefault(n.choice("mode"), "ro"), Cache: n.choice("cache")})
		d.absorb(n)
	}
}

// mountTarget is where a label says that something is mounted.
func mountTarget(label, user string, r hcl.Range) (string, *hcl.Diagnostic) {
	label = guestHome(label, user)
	target := path.Clean(label)
	if diag := checkGuestPath(label, r); diag != nil {
		return "", diag
	}
	if target == "/" {
		return "", at(r, "Invalid guest path", "A mount cannot replace the root file system. Mount it below, such as at \"/workspace\".")
	}
	return target, nil
}

// backend checks the backend's name, and its settings against what its plugin declares.
func (d *decoder) backend(s *plan.Sandbox) {
	settings := d.blocks["settings"]
	if s.Backend == plan.BackendAuto || s.Backend == plan.Redacted {
		if len(settings) > 0 {
			d.fail(at(settings[0].DefRange, "Settings of which backend?", "Settings belong to one backend. Name it: backend = \"qemu\", for example."))
		}
		return
	}
	if !d.has("backend") || !d.ok() {
		return
	}
	r := d.rng("backend")
	desc, err := d.l.describeBackend(s.Backend)
	if err != nil {
		hint := remedyText(err)
		if name := nearest(s.Backend, append([]string{plan.BackendAuto}, builtinBackends...)); name != "" && name != s.Backend {
			hint = fmt.Sprintf(" Did you mean %q?", name)
		}
		d.fail(at(r, "Unknown backend", "There is no plugin for the backend %q: %v.%s", s.Backend, err, hint))
		return
	}
	if len(settings) > 0 {
		s.Settings = d.describedBlock(settings[0], desc, s.Backend, s.Name)
	}
}

// checkExists reports a host path at which there is nothing.
func checkExists(abs, given string, r hcl.Range) *hcl.Diagnostic {
	if _, err := os.Stat(abs); err != nil {
		return at(r, "No such file", "%s does not exist (looked for %s).", given, abs)
	}
	return nil
}

func orDefault(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func toSet(list []string) map[string]bool {
	set := map[string]bool{}
	for _, s := range list {
		set[s] = true
	}
	return set
}
