package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/plan"
)

func (c *cli) planCommand() *cobra.Command {
	var in inputs
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "plan FILE|DIR",
		Short: "Show the graph of what would run; nothing is started",
		Long: "plan shows the sandboxes, agents and pipelines of a file, or of a directory of files: what runs where, after what, and which\n" +
			"secrets a sandbox would see in clear. Secrets need not be set, and their values are never shown.",
		Example: "  voidbox plan pipeline.hcl\n" +
			"  voidbox plan --json pipeline.hcl | jq '.pipelines[].stages[] | {id, needs}'",
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			project, err := c.load(cmd.Context(), args[0], &in, false)
			if err != nil {
				return err
			}
			defer project.host.Close(cmd.Context())
			graph := newGraph(project.plan)
			graph.askHosts(cmd.Context(), project)
			if asJSON {
				encoder := json.NewEncoder(c.stdout)
				encoder.SetIndent("", "  ")
				return encoder.Encode(graph)
			}
			graph.write(c.stdout)
			return nil
		},
	}
	in.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// graph is what plan shows of a plan: names and numbers, no value that could be secret.
type graph struct {
	Name      string          `json:"name"`
	Sandboxes []graphSandbox  `json:"sandboxes"`
	Agents    []graphAgent    `json:"agents,omitempty"`
	Pipelines []graphPipeline `json:"pipelines,omitempty"`
}

type graphSandbox struct {
	Name        string   `json:"name"`
	Backend     string   `json:"backend"`
	Image       string   `json:"image,omitempty"`
	Main        []string `json:"main,omitempty"`
	CPUs        int      `json:"cpus"`
	MemoryBytes uint64   `json:"memory_bytes"`
	Network     string   `json:"network"`
	Packages    []string `json:"packages,omitempty"`
	Mounts      []string `json:"mounts,omitempty"`
	Keys        []string `json:"deploy_keys,omitempty"`
	unbound     []string // keys that sign anything
	SSHAgent    bool     `json:"ssh_agent,omitempty"`
	Exposed     []string `json:"exposed_secrets,omitempty"`
}

type graphAgent struct {
	Name       string   `json:"name"`
	Sandbox    string   `json:"sandbox"`
	LLM        string   `json:"llm"`
	Skills     []string `json:"skills,omitempty"`
	NeedsInput bool     `json:"needs_input"`
	// LLMHosts are let through beside the egress rules of the sandbox.
	LLMHosts []string `json:"llm_hosts,omitempty"`
	noHosts  error    // why they are not known
}

type graphPipeline struct {
	Name        string       `json:"name"`
	MaxParallel int          `json:"max_parallel,omitempty"`
	Stages      []graphStage `json:"stages"`
	Outputs     []string     `json:"outputs,omitempty"`
}

type graphStage struct {
	ID       string   `json:"id"`
	Agent    string   `json:"agent"`
	Needs    []string `json:"needs,omitempty"`
	Attempts int      `json:"attempts"`
	Timeout  string   `json:"timeout,omitempty"`
}

func newGraph(p *plan.Plan) graph {
	redact := plan.NewRedactor(p.Secrets)
	g := graph{Name: p.Name, Sandboxes: []graphSandbox{}}
	for _, s := range p.Sandboxes {
		g.Sandboxes = append(g.Sandboxes, newGraphSandbox(s, redact))
	}
	for _, a := range p.Agents {
		agent := graphAgent{Name: a.Name, Sandbox: a.Sandbox.Name, LLM: blockName(a.LLM.Block), NeedsInput: a.NeedsInput}
		for _, s := range a.Skills {
			agent.Skills = append(agent.Skills, blockName(s.Block))
		}
		g.Agents = append(g.Agents, agent)
	}
	for _, pipeline := range p.Pipelines {
		g.Pipelines = append(g.Pipelines, newGraphPipeline(pipeline))
	}
	return g
}

func newGraphSandbox(s *plan.Sandbox, redact plan.Redactor) graphSandbox {
	out := graphSandbox{Name: s.Name, Backend: s.Backend, Image: s.Image, CPUs: s.CPUs, MemoryBytes: s.MemoryBytes, Network: "none", Exposed: s.Exposed}
	for _, arg := range s.Main {
		out.Main = append(out.Main, redact.String(arg))
	}
	if s.Network != nil {
		out.Network = s.Network.Plugin
	}
	out.Packages, out.SSHAgent = s.Packages, s.SSHAgent
	for _, k := range s.DeployKeys {
		where := "anything"
		if len(k.Hosts) > 0 {
			where = strings.Join(k.Hosts, ", ")
		} else {
			out.unbound = append(out.unbound, k.Name)
		}
		out.Keys = append(out.Keys, fmt.Sprintf("%s (%s) for %s", k.Name, k.Path, where))
	}
	for _, m := range s.Mounts {
		out.Mounts = append(out.Mounts, fmt.Sprintf("%s at %s (%s)", m.Source, m.Target, m.Mode))
	}
	return out
}

func newGraphPipeline(p *plan.Pipeline) graphPipeline {
	out := graphPipeline{Name: p.Name, MaxParallel: p.MaxParallel}
	for _, s := range p.Stages {
		stage := graphStage{ID: s.ID(), Agent: s.Agent.Name, Needs: s.Needs, Attempts: max(s.Retry.Attempts, 1)}
		if s.Timeout > 0 {
			stage.Timeout = s.Timeout.Round(time.Millisecond).String()
		}
		out.Stages = append(out.Stages, stage)
	}
	for _, o := range p.Outputs {
		out.Outputs = append(out.Outputs, o.Name)
	}
	return out
}

func blockName(b plan.Block) string { return b.Plugin + "." + b.Label }

func (g graph) write(w io.Writer) {
	for _, s := range g.Sandboxes {
		fmt.Fprintf(w, "sandbox %s: %s, %d CPU, %d MiB, image %s, network %s\n", s.Name, s.Backend, s.CPUs, s.MemoryBytes>>20, s.Image, s.Network)
		if len(s.Main) > 0 {
			fmt.Fprintf(w, "  main process: %s\n", strings.Join(s.Main, " "))
		}
		if len(s.Packages) > 0 {
			fmt.Fprintf(w, "  Debian packages: %s\n", strings.Join(s.Packages, " "))
		}
		for _, m := range s.Mounts {
			fmt.Fprintf(w, "  lends %s\n", m)
		}
		for _, k := range s.Keys {
			fmt.Fprintf(w, "  signs with SSH key %s\n", k)
		}
		for _, name := range s.unbound {
			fmt.Fprintf(w, "  ! key %s names no hosts: this sandbox can log in with it wherever it is accepted, and sign commits\n", name)
		}
		if s.SSHAgent {
			fmt.Fprintln(w, "  ! your SSH agent is lent: this sandbox can log in with its keys wherever they are accepted, and sign commits")
		}
		for _, name := range s.Exposed {
			fmt.Fprintf(w, "  ! %s will be inside this sandbox in clear: its programs, and so the agent, can read it and send it on\n", name)
		}
	}
	for _, a := range g.Agents {
		fmt.Fprintf(w, "agent %s: %s in sandbox %s", a.Name, a.LLM, a.Sandbox)
		if len(a.Skills) > 0 {
			fmt.Fprintf(w, ", skills %s", strings.Join(a.Skills, ", "))
		}
		fmt.Fprintln(w)
		a.writeHosts(w)
	}
	for _, p := range g.Pipelines {
		p.write(w)
	}
}

func (p graphPipeline) write(w io.Writer) {
	fmt.Fprintf(w, "pipeline %s:\n", p.Name)
	for _, s := range p.Stages {
		fmt.Fprintf(w, "  %s: agent %s", s.ID, s.Agent)
		if len(s.Needs) > 0 {
			fmt.Fprintf(w, ", after %s", strings.Join(s.Needs, ", "))
		}
		if s.Attempts > 1 {
			fmt.Fprintf(w, ", up to %d attempts", s.Attempts)
		}
		if s.Timeout != "" {
			fmt.Fprintf(w, ", at most %s", s.Timeout)
		}
		fmt.Fprintln(w)
	}
	for _, o := range p.Outputs {
		fmt.Fprintf(w, "  output %s\n", o)
	}
}
