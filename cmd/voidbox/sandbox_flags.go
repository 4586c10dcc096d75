package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/image/source"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// sandboxFlags describe a sandbox on the command line. They are made into a configuration, so that there is one language only, with
// one set of defaults, checks and messages.
type sandboxFlags struct {
	backend, image, kernel, initrd string
	memory, network, user, workdir string
	cpus                           int
	env, mounts, deployKeys        []string
	packages                       []string
	sshAgent                       bool
}

func (f *sandboxFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.backend, "backend", plan.BackendAuto, "what it is made of: auto (kvm, else qemu), kvm, qemu, mock or another plugin's `name`")
	flags.StringVar(&f.image, "image", plan.ImageBase, "root file system: base, or an `image` as the language takes it")
	flags.StringSliceVar(&f.packages, "packages", nil, "root file system: a Debian with these `packages`, separated by commas")
	flags.StringVar(&f.kernel, "kernel", "", "boot this kernel `file`")
	flags.StringVar(&f.initrd, "initrd", "", "boot with this initramfs `file`, which brings the guest agent")
	flags.IntVar(&f.cpus, "cpus", plan.DefaultCPUs, "virtual CPUs")
	flags.StringVar(&f.memory, "memory", "512MiB", "`size` of the memory")
	flags.StringArrayVarP(&f.env, "env", "e", nil, "set a variable, `NAME=VALUE`, or take it from this environment, NAME; repeatable")
	flags.StringArrayVar(&f.mounts, "mount", nil, "lend a host path, `SOURCE:TARGET[:MODE]`; the mode is ro (default), rw or overlay; repeatable")
	flags.StringVar(&f.network, "network", "none", "network `plugin`, such as slirp; none means no network at all")
	flags.StringArrayVar(&f.deployKeys, "deploy-key", nil, "let the guest sign with an SSH key that stays here, `NAME=FILE[@HOST]`; repeatable")
	flags.BoolVar(&f.sshAgent, "ssh-agent", false, "let the guest sign with the keys of the SSH agent here")
	flags.StringVar(&f.user, "user", "", "`user` that commands run as")
	flags.StringVar(&f.workdir, "workdir", "", "working `directory` of commands")
}

// names are the flags that describe a sandbox, none of which goes together with a file.
var sandboxFlagNames = []string{
	"backend", "image", "packages", "kernel", "initrd", "cpus", "memory", "env", "mount", "network", "deploy-key", "ssh-agent", "user", "workdir",
}

type object = map[string]any

// text makes the flags into a configuration in JSON syntax, and returns the names of the variables that it takes from the environment.
func (f *sandboxFlags) text(name string, mainProcess []string) (string, []string, error) {
	box := object{"backend": literal(f.backend), "image": literal(f.image), "cpus": f.cpus, "memory": literal(f.memory)}
	for key, value := range map[string]string{"user": f.user, "working_dir": f.workdir} {
		if value != "" {
			box[key] = literal(value)
		}
	}
	for key, value := range map[string]string{"kernel": f.kernel, "initrd": f.initrd} {
		if value != "" {
			box[key] = literal(hostPath(value))
		}
	}
	if len(mainProcess) > 0 {
		box["main"] = literals(mainProcess)
	}
	if f.network != "none" {
		box["network"] = object{literal(f.network): object{}}
	}
	// A path in the name of an image starts from here. What is no image is left for the diagnostics of the language.
	if image, err := source.Parse(f.image, ""); err == nil {
		box["image"] = literal(image.String())
	}
	if len(f.packages) > 0 {
		box["packages"] = literals(f.packages)
		if f.image == plan.ImageBase { // which is only the default
			delete(box, "image")
		}
	}
	mounts, err := parseMounts(f.mounts)
	if err != nil {
		return "", nil, err
	}
	if len(mounts) > 0 {
		box["mount"] = mounts
	}
	if f.sshAgent {
		box["ssh_agent"] = true
	}
	keys, err := parseDeployKeys(f.deployKeys)
	if err != nil {
		return "", nil, err
	}
	if len(keys) > 0 {
		box["deploy_key"] = keys
	}
	env, hostEnv, err := parseEnv(f.env)
	if err != nil {
		return "", nil, err
	}
	config := object{"sandbox": object{name: box}}
	if len(hostEnv) > 0 {
		variables := object{}
		for _, variable := range hostEnv {
			variables[variable] = object{"type": "string"}
			env[variable] = "${var." + variable + "}"
		}
		config["variable"] = variables
	}
	if len(env) > 0 {
		box["env"] = env
	}
	text, err := json.MarshalIndent(config, "", "  ")
	return string(text), hostEnv, err
}

// literal protects a text from being taken for a template (HCL's JSON syntax, "Expressions").
func literal(text string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(text)
}

func literals(texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = literal(text)
	}
	return out
}

// hostPath makes a path of this machine absolute; ~ is the home directory.
func hostPath(path string) string {
	if home, err := os.UserHomeDir(); err == nil && (path == "~" || strings.HasPrefix(path, "~/")) {
		path = home + path[1:]
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func parseMounts(args []string) (object, error) {
	mounts := object{}
	for _, arg := range args {
		parts := strings.Split(arg, ":")
		if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
			return nil, errdef.New(errdef.ErrInvalid, "--mount %q: want SOURCE:TARGET[:MODE]", arg).WithRemedy("for example: --mount .:/workspace:rw")
		}
		mount := object{"source": literal(hostPath(parts[0]))}
		if len(parts) == 3 {
			mount["mode"] = literal(parts[2])
		}
		if mounts[parts[1]] != nil {
			return nil, errdef.New(errdef.ErrInvalid, "--mount %q: something is mounted at %s already", arg, parts[1])
		}
		mounts[parts[1]] = mount
	}
	return mounts, nil
}

// parseDeployKeys reads keys. What stands behind the last @ is a host, unless it is part of a path.
func parseDeployKeys(args []string) (object, error) {
	keys := object{}
	for _, arg := range args {
		name, file, ok := strings.Cut(arg, "=")
		if !ok || name == "" || file == "" {
			return nil, errdef.New(errdef.ErrInvalid, "--deploy-key %q: want NAME=FILE[@HOST]", arg).
				WithRemedy("for example: --deploy-key site=~/.ssh/deploy_site@github.com")
		}
		key := object{}
		if i := strings.LastIndexByte(file, '@'); i > 0 && i < len(file)-1 && !strings.Contains(file[i:], "/") {
			key["hosts"] = []string{literal(file[i+1:])}
			file = file[:i]
		}
		key["source"] = literal(hostPath(file))
		if keys[name] != nil {
			return nil, errdef.New(errdef.ErrInvalid, "--deploy-key %q: there is a key of that name already", arg)
		}
		keys[literal(name)] = key
	}
	return keys, nil
}

// parseEnv splits variables into those with a value, and the names of those that come from the environment.
func parseEnv(args []string) (object, []string, error) {
	env, names := object{}, []string{}
	for _, arg := range args {
		name, value, given := strings.Cut(arg, "=")
		switch {
		case name == "":
			return nil, nil, errdef.New(errdef.ErrInvalid, "--env %q: want NAME=VALUE, or NAME", arg)
		case given:
			env[literal(name)] = literal(value)
		case !isIdentifier(name):
			return nil, nil, errdef.New(errdef.ErrInvalid, "--env %q: not the name of a variable", arg)
		default:
			names = append(names, name)
		}
	}
	return env, names, nil
}

func isIdentifier(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

// hostVars reads the variables of the environment that a definition names.
func hostVars(names []string) ([]string, error) {
	var vars []string
	for _, name := range names {
		value, ok := os.LookupEnv(name)
		if !ok {
			return nil, errdef.New(errdef.ErrInvalid, "--env %s: the variable is not set here", name).WithRemedy("set it, or give a value: --env %s=VALUE", name)
		}
		vars = append(vars, fmt.Sprintf("%s=%s", name, value))
	}
	return vars, nil
}
