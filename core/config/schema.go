package config

// root is the file itself.
var root = &block{
	Type: "file",
	Blocks: []*block{
		voidboxBlock, variableBlock, localsBlock, secretBlock, profileBlock, sandboxBlock, llmBlock, skillBlock, agentBlock, pipelineBlock, outputBlock,
	},
}

var voidboxBlock = &block{
	Type: "voidbox", MaxItems: 1,
	Doc: "What the file asks of voidbox itself.",
	Arguments: []argument{
		{Name: "required_version", Type: "string", Doc: "Constraint on the version of voidbox, such as \">= 1.2, < 2\"."},
		{Name: "dev_overrides", Type: "map(string)", Doc: "Paths of plugin binaries under development, by KIND-NAME such as llm-echo. Versions, hashes and the lock file do not apply to them."},
	},
	Blocks: []*block{{
		Type: "required_plugins", MaxItems: 1,
		Doc:    "Plugins that the file asks for explicitly, one block each.",
		Blocks: requirementBlocks("vmm", "network", "share", "sandbox", "llm", "skill"),
	}},
}

// requirementBlocks returns a block for each kind of plugin.
func requirementBlocks(kinds ...string) []*block {
	var blocks []*block
	for _, kind := range kinds {
		blocks = append(blocks, &block{
			Type: kind, Labels: []string{"name"},
			Doc: "Requirement on the " + kind + " plugin of that name.",
			Arguments: []argument{
				{Name: "version", Type: "string", Doc: "Constraint on the plugin's version."},
				{Name: "sha256", Type: "string", Doc: "Hash of the plugin's binary, in hex. Any other binary is refused."},
				{Name: "source", Type: typePath, Doc: "Path of the plugin's binary.", Default: "found by its name"},
			},
		})
	}
	return blocks
}

var variableBlock = &block{
	Type: "variable", Labels: []string{"name"},
	Doc: "An input of the file, set by `--var` or `--var-file`.",
	Arguments: []argument{
		{Name: "type", Type: typeType, Doc: "Type that the value is converted to.", Default: "the type of the default"},
		{Name: "default", Type: typeAny, Doc: "Value when none is given. Without it a value must be given."},
		{Name: "description", Type: "string", Doc: "What it is for."},
		{Name: "sensitive", Type: "bool", Doc: "Redact the value everywhere and treat it as a secret.", Default: "false"},
	},
	Blocks: []*block{{
		Type: "validation",
		Doc:  "A condition on the value.",
		Arguments: []argument{
			{Name: "condition", Type: "bool", Required: true, Doc: "Must be true. Refers to the variable itself."},
			{Name: "error_message", Type: "string", Required: true, Doc: "What to tell whoever gave the value."},
		},
	}},
}

var localsBlock = &block{
	Type: "locals", Free: true,
	Doc: "Named expressions, one an argument.",
}

var secretBlock = &block{
	Type: "secret", Labels: []string{"name"},
	Doc: "A sensitive string from outside the file: exactly one of `env`, `file`, `command` and `keyring`.",
	Arguments: []argument{
		{Name: "env", Type: "string", Doc: "Variable of the environment that holds it."},
		{Name: "file", Type: typePath, Doc: "File that holds it. White space at its end is dropped."},
		{Name: "command", Type: "list(string)", Doc: "Program and arguments that print it, run on the host without a shell, by `voidbox run` alone."},
		{Name: "keyring", Type: "string", Doc: "Service under which the keyring of the desktop (by way of `secret-tool`) or of macOS has it."},
		{Name: "description", Type: "string", Doc: "What it is for."},
	},
}

// deployKeyBlock and mountBlock stand in sandboxes and in profiles.
var deployKeyBlock = &block{
	Type: "deploy_key", Labels: []string{"name"},
	Doc: "An SSH key that stays on the host. An agent there signs with it for ssh and git in the guest.",
	Arguments: []argument{
		{Name: "source", Type: typePath, Required: true, Doc: "File of the private key, without a passphrase, that only its owner can read."},
		{Name: "hosts", Type: "list(string)", Default: "anything is signed", Doc: "Hosts that it may log in at, such as \"github.com\" or \"git.example.com:2222\"; it then signs nothing else. Their keys must be known."},
	},
}

var mountBlock = &block{
	Type: "mount", Labels: []string{"target"},
	Doc: "A host directory or file, lent to the guest at the absolute path that the label names.",
	Arguments: []argument{
		{Name: "source", Type: typePath, Required: true, Doc: "Directory or file on the host."},
		{Name: "mode", Type: "string", Default: "\"ro\"", Values: []string{"ro", "rw", "overlay"}, Doc: "Read only, read and write, or an overlay: the guest writes, and the host's files stay as they are until `voidbox apply`."},
		{Name: "cache", Type: "string", Default: "\"auto\"", Values: []string{"auto", "always"}, Doc: "How long the guest trusts what it has read: auto sees the host's edits within a second; always is for files that nobody else changes, and keeps writes back."},
	},
}

var profileBlock = &block{
	Type: "profile", Labels: []string{"name"},
	Doc: "What several sandboxes have in common. A sandbox takes it by `profiles`.",
	Arguments: []argument{
		{Name: "packages", Type: "list(string)", Doc: "Debian packages of its sandboxes."},
		{Name: "env", Type: "map(string)", Doc: "Environment of its sandboxes."},
		{Name: "expose", Type: "list(secret)", Doc: "Secrets and sensitive variables that may enter its sandboxes in clear."},
		{Name: "known_hosts", Type: "list(string)", Doc: "Further lines for the guest's ssh_known_hosts."},
	},
	Blocks: []*block{deployKeyBlock, mountBlock},
}

var sandboxBlock = &block{
	Type: "sandbox", Labels: []string{"name"},
	Doc: "An isolated environment. It needs a main process: `main`, or an `image` that has its own.",
	Arguments: []argument{
		{Name: "backend", Type: "string", Default: "\"auto\"", Doc: "What it is made of: \"auto\" (kvm where it is usable, else qemu), \"kvm\", \"qemu\", \"mock\", or another sandbox or VMM plugin."},
		{Name: "image", Type: "string", Default: "\"base\" when `main` is set", Doc: "Root file system: \"base\", whose main process sleeps; an image of a registry such as \"docker.io/library/node:22-slim\"; \"oci:./layout\", \"docker-archive:./image.tar\", \"dir:./rootfs\"; or the path of a raw disk such as \"./disk.img\"."},
		{Name: "packages", Type: "list(string)", Doc: "Debian packages, of which the root file system is made in place of an image. What they were is written to the lock file."},
		{Name: "profiles", Type: "list(profile)", Doc: "Profiles that it is made of, in order: what a later one says wins, and the sandbox itself wins over all of them."},
		{Name: "main", Type: "list(string)", Doc: "Main process: program and arguments. The sandbox ends when it ends."},
		{Name: "args", Type: "list(string)", Doc: "Arguments for the main process of the image, in place of its own. Excludes `main`."},
		{Name: "restart", Type: "string", Default: "\"never\"", Values: []string{"never", "on-failure", "always"}, Doc: "When the main process is started again after it has ended."},
		{Name: "kernel", Type: typePath, Doc: "Kernel to boot.", Default: "found or fetched"},
		{Name: "initrd", Type: typePath, Doc: "Initial file system to boot with.", Default: "built"},
		{Name: "cpus", Type: typeInteger, Default: "1", Doc: "Virtual CPUs, 1 to 255."},
		{Name: "memory", Type: typeSize, Default: "\"512MiB\"", Doc: "Memory, at least 64MiB."},
		{Name: "disk", Type: typeSize, Doc: "Size of a disk that takes what is written to the root file system, at least 128MiB.", Default: "memory takes it, up to half of it"},
		{Name: "hostname", Type: "string", Doc: "Host name of the guest.", Default: "the sandbox's name"},
		{Name: "user", Type: "string", Doc: "User that everything runs as: a name that the image knows, uid or uid:gid.", Default: "the image's, else uid 1000"},
		{Name: "working_dir", Type: "string", Doc: "Directory that commands start in, absolute.", Default: "the image's, else decided by the guest"},
		{Name: "env", Type: "map(string)", Doc: "Environment of the main process and of commands."},
		{Name: "commands", Type: "list(string)", Default: "all", Doc: "Programs that commands may start: a name in PATH, a file, or a directory with a slash at its end. It is no jail: what such a program starts is not asked about."},
		{Name: "ssh_agent", Type: "bool", Default: "false", Doc: "Lend the SSH agent that SSH_AUTH_SOCK names on the host: programs in the guest can sign with its keys, and cannot read them."},
		{Name: "known_hosts", Type: "list(string)", Default: "the usual forges only", Doc: "Further lines for the guest's ssh_known_hosts, such as [file(\"known_hosts\")]."},
		{Name: "expose", Type: "list(secret)", Doc: "Secrets and sensitive variables that may enter the guest in clear."},
		{Name: "ready_timeout", Type: typeDuration, Default: "\"30s\"", Doc: "How long the boot may show no progress."},
	},
	Blocks: []*block{
		{
			Type: "limits", MaxItems: 1,
			Doc: "Bounds on each command. What is not set is not bounded.",
			Arguments: []argument{
				{Name: "memory", Type: typeSize, Doc: "Address space of a process."},
				{Name: "open_files", Type: typeInteger, Doc: "Open files of a process."},
				{Name: "processes", Type: typeInteger, Doc: "Processes of the user."},
				{Name: "file_size", Type: typeSize, Doc: "Size of a file that a process may write."},
				{Name: "cpu_time", Type: typeDuration, Doc: "CPU time of a process."},
			},
		},
		networkBlock,
		deployKeyBlock,
		mountBlock,
		{
			Type: "settings", MaxItems: 1, PluginKind: "sandbox",
			Doc: "Settings of the backend, as its plugin declares them. Needs a `backend` other than \"auto\".",
		},
	},
}

var llmBlock = &block{
	Type: "llm", Labels: []string{"plugin", "name"}, PluginKind: "llm",
	Doc: "A model provider, configured. The plugin declares further arguments.",
	Arguments: []argument{
		{Name: "model", Type: "string", Doc: "Model of the agents that name none.", Default: "the provider's"},
		{Name: "input_price", Type: "number", Doc: "What the model costs to read, in US dollars for a million tokens.", Default: "what the table of prices says"},
		{Name: "output_price", Type: "number", Doc: "What it costs to write. Either both are given or none."},
		{Name: "cache_read_price", Type: "number", Doc: "What it costs to read from the provider's cache.", Default: "`input_price`"},
		{Name: "cache_write_price", Type: "number", Doc: "What it costs to write into the provider's cache.", Default: "`input_price`"},
	},
}

var skillBlock = &block{
	Type: "skill", Labels: []string{"kind", "name"}, PluginKind: "skill",
	Doc: "Something that an agent knows or can use. The kinds \"file\", \"inline\", \"remote\", \"mcp\", \"cli\" and \"agent\" are built in; any other is a plugin, which declares further arguments.",
	Arguments: []argument{
		{Name: "description", Type: "string", Doc: "When to use it."},
	},
}

// These are the built-in kinds.
var (
	fileSkill = &block{
		Type: "skill", Labels: []string{"kind", "name"},
		Arguments: append([]argument{{Name: "path", Type: typePath, Required: true, Doc: "File or directory that holds the skill (kind \"file\")."}}, skillBlock.Arguments...),
	}
	inlineSkill = &block{
		Type: "skill", Labels: []string{"kind", "name"},
		Arguments: append([]argument{{Name: "content", Type: "string", Required: true, Doc: "Text of the skill (kind \"inline\")."}}, skillBlock.Arguments...),
	}
	remoteSkill = &block{
		Type: "skill", Labels: []string{"kind", "name"},
		Arguments: append([]argument{
			{Name: "source", Type: "string", Required: true, Doc: "Repository or archive that holds the skill (kind \"remote\")."},
			{Name: "ref", Type: "string", Doc: "Branch, tag or full commit ID of the repository, which needs one (kind \"remote\")."},
			{Name: "hash", Type: "string", Doc: "Hash of the skill's files, \"h1:...\"; a run without it fails and says which it is (kind \"remote\")."},
		}, skillBlock.Arguments...),
	}
	mcpSkill = &block{
		Type: "skill", Labels: []string{"kind", "name"},
		Arguments: append([]argument{
			{Name: "command", Type: "list(string)", Doc: "Program and arguments of an MCP server (kind \"mcp\")."},
			{Name: "env", Type: "map(string)", Doc: "Environment of that server, beside the agent's (kind \"mcp\")."},
			{Name: "url", Type: "string", Doc: "Address of an MCP server over HTTP instead (kind \"mcp\")."},
			{Name: "on", Type: "string", Default: "\"sandbox\"", Values: []string{"sandbox", "host"}, Doc: "Where the server runs, or is reached from (kind \"mcp\"). On the host it is outside of every wall, with the user's rights, and only the native loop can use it."},
			{Name: "headers", Type: "map(string)", Doc: "Headers of each request to the address, for a server that is reached from the host (kind \"mcp\")."},
			{Name: "tools", Type: "list(string)", Default: "all", Doc: "Those of the server's tools that the model of the native loop gets (kind \"mcp\")."},
			{Name: "timeout", Type: typeDuration, Default: "the agent's `tool_timeout`", Doc: "How long one call may take in the native loop (kind \"mcp\")."},
		}, skillBlock.Arguments...),
	}
	cliSkill = &block{
		Type: "skill", Labels: []string{"kind", "name"},
		Arguments: append([]argument{
			{Name: "program", Type: "string", Default: "the skill's name", Doc: "Program that must be in the sandbox (kind \"cli\")."},
			{Name: "version", Type: "string", Doc: "Constraint on what `PROGRAM --version` says, such as \">= 2.4, < 3\" (kind \"cli\")."},
			{Name: "path", Type: typePath, Doc: "Program of the host that is copied into the sandbox (kind \"cli\").", Default: "the image has it"},
			{Name: "content", Type: "string", Doc: "How to use it (kind \"cli\").", Default: "that `PROGRAM --help` tells"},
		}, skillBlock.Arguments...),
	}
	agentSkill = &block{
		Type: "skill", Labels: []string{"kind", "name"},
		Arguments: append([]argument{
			{Name: "agent", Type: "agent", Required: true, Doc: "Agent that tasks are given to, as `input.task` (kind \"agent\")."},
		}, skillBlock.Arguments...),
	}
)

var agentBlock = &block{
	Type: "agent", Labels: []string{"name"},
	Doc: "A prompt, skills and a model, bound to a sandbox: a template whose `input` the stage gives.",
	Arguments: []argument{
		{Name: "sandbox", Type: "sandbox", Required: true, Doc: "Sandbox that it works in."},
		{Name: "llm", Type: "llm", Required: true, Doc: "Model provider."},
		{Name: "skills", Type: "list(skill)", Doc: "Skills that it has."},
		{Name: "prompt", Type: "string", Required: true, Doc: "The task. May use `input`."},
		{Name: "system", Type: "string", Doc: "System prompt, added to the built-in one. May use `input`."},
		{Name: "model", Type: "string", Doc: "Model. May use `input`.", Default: "that of the llm"},
		{Name: "tools", Type: "list(string)", Doc: "Tools of the native loop: bash, read, write, edit, skill (reads one, where there are any), and those of its skills, such as mcp__files__* for all of skill.mcp.files.", Default: "all"},
		{Name: "tool_timeout", Type: typeDuration, Default: "\"2m\"", Doc: "How long one call of a tool may take in the native loop, unless the call or the skill says otherwise."},
		{Name: "mode", Type: "string", Default: "\"auto\"", Values: []string{"auto", "cli", "native"}, Doc: "Run the provider's own command line in the guest, run the loop on the host, or whichever the provider prefers."},
		{Name: "interactive", Type: "bool", Default: "false", Doc: "Give the provider's own command line the terminal, for a person to talk to. The prompt is what it is told first."},
		{Name: "max_turns", Type: typeInteger, Default: "50", Doc: "Turns of the model."},
		{Name: "output_file", Type: "string", Doc: "Absolute path in the guest of the file whose content is the output. May use `input`.", Default: "the agent's last text"},
		{Name: "artefacts", Type: "list(string)", Doc: "Absolute paths in the guest of files and directories that are kept, and that later stages can take as `files`. May use `input`."},
		{Name: "output_limit", Type: typeSize, Default: "\"30KiB\"", Doc: "How much of a tool's output the model sees; the middle of longer output is cut."},
	},
	Blocks: []*block{{
		Type: "budget", MaxItems: 1,
		Doc: "Bounds on one run of the agent. What is not set is not bounded.",
		Arguments: []argument{
			{Name: "usd", Type: "number", Doc: "Money, in US dollars."},
			{Name: "tokens", Type: typeInteger, Doc: "Tokens, in and out together."},
			{Name: "time", Type: typeDuration, Doc: "Time."},
		},
	}},
}

var pipelineBlock = &block{
	Type: "pipeline", Labels: []string{"name"},
	Doc: "Agents at work: a graph whose edges are the references between its stages.",
	Arguments: []argument{
		{Name: "max_parallel", Type: typeInteger, Doc: "Stages that run at once.", Default: "unlimited"},
	},
	Blocks: []*block{
		{
			Type: "stage", Labels: []string{"name"},
			Doc: "One run of an agent, or one for each key of `for_each`.",
			Arguments: []argument{
				{Name: "agent", Type: "agent", Required: true, Doc: "Agent to run."},
				{Name: "for_each", Type: "set(string) or map(any)", Doc: "Keys to run the agent for. Must be known before the run."},
				{Name: "input", Type: typeExpr, Doc: "What the agent sees as `input`. May use results of other stages, which makes them run before."},
				{Name: "files", Type: "map(string)", Doc: "What the sandbox holds of earlier stages' artefacts: absolute directories in the guest, and the `artefacts` of a stage for each."},
				{Name: "depends_on", Type: "list(stage)", Doc: "Stages that must succeed before, beyond those that `input` refers to."},
				{Name: "timeout", Type: typeDuration, Doc: "Time for the stage, each attempt on its own.", Default: "none"},
			},
			Blocks: []*block{{
				Type: "retry", MaxItems: 1,
				Doc: "What to do when the stage fails.",
				Arguments: []argument{
					{Name: "attempts", Type: typeInteger, Required: true, Doc: "Attempts in all, 1 to 20."},
					{Name: "backoff", Type: typeDuration, Default: "none", Doc: "Pause before the second attempt; it doubles each time."},
				},
			}},
		},
		outputBlock,
	},
}

var outputBlock = &block{
	Type: "output", Labels: []string{"name"},
	Doc: "A result. Outside of a pipeline it belongs to the only pipeline of the file.",
	Arguments: []argument{
		{Name: "value", Type: typeExpr, Required: true, Doc: "The value. May use results of stages."},
		{Name: "sensitive", Type: "bool", Default: "false", Doc: "Do not show the value. Needed when it is made of something sensitive."},
		{Name: "description", Type: "string", Doc: "What it is."},
	},
}
