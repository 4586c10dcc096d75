package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/control"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/policy"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

func (c *cli) whyCommand() *cobra.Command {
	var in inputs
	var asJSON bool
	var only, protocol, run string
	cmd := &cobra.Command{
		Use:   "why {FILE|DIR | --run RUN} HOST:PORT",
		Short: "Say whether a sandbox may reach something, and by which rule",
		Long: "why asks the network plugins of a file's sandboxes what they would do with a connection to HOST:PORT, and prints the line of\n" +
			"the file, or the built-in rule, that decides. Nothing is connected and no name is resolved. It exits with 1 if a sandbox may not.\n\n" +
			"With --run the guests of a run that lives are meant, with what their resolvers have told them by now.",
		Example: "  voidbox why agent.hcl pypi.org:443\n" +
			"  voidbox why --protocol udp agent.hcl 10.0.0.5:53\n" +
			"  voidbox why --run 20260102-030405-1a2b3c4d pypi.org:443",
		Args: func(_ *cobra.Command, args []string) error {
			if run != "" && len(args) != 1 {
				return failUsage(fmt.Errorf("why --run needs a destination"), "for example: voidbox why --run %s pypi.org:443", run)
			}
			if run == "" && len(args) != 2 {
				return failUsage(fmt.Errorf("why needs a file and a destination"), "for example: voidbox why agent.hcl pypi.org:443")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			flow, err := parseFlow(protocol, args[len(args)-1])
			if err != nil {
				return failUsage(err, "for example: voidbox why agent.hcl pypi.org:443")
			}
			if run != "" {
				return c.whyRun(cmd.Context(), run, only, flow, asJSON)
			}
			project, err := c.load(cmd.Context(), args[0], &in, false)
			if err != nil {
				return err
			}
			defer project.host.Close(cmd.Context())
			sandboxes, err := networked(project.plan, only)
			if err != nil {
				return failWith(exitUsage, err)
			}
			reasons, err := explainAll(cmd.Context(), project.host, sandboxes, flow)
			if err != nil {
				return asMachineFault(err)
			}
			return c.answerWhy(reasons, asJSON)
		},
	}
	in.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&run, "run", "", "ask the guests of this `run`, an ID that ps lists or a run directory")
	cmd.Flags().StringVar(&only, "sandbox", "", "ask for the sandbox of this `name` only")
	cmd.Flags().StringVar(&protocol, "protocol", "tcp", "`protocol` of the connection: tcp, udp or icmp")
	return cmd
}

// whyRun asks the networks of a run that lives.
func (c *cli) whyRun(ctx context.Context, run, only string, f network.Flow, asJSON bool) error {
	var reasons []reason
	err := withRun(ctx, run, func(ctx context.Context, client *control.Client) error {
		verdicts, err := client.Explain(ctx, control.Flow{Protocol: string(f.Protocol), Host: f.Host, Port: f.Port})
		if err != nil {
			return err
		}
		for _, v := range verdicts {
			if only == "" || v.Sandbox == only {
				reasons = append(reasons, reason{v.Stage, v.Sandbox, v.Allowed, event.Clean(v.Rule), event.Clean(v.Reason)})
			}
		}
		if len(reasons) == 0 {
			return errdef.New(errdef.ErrNotFound, "no guest of sandbox %q runs", only)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.answerWhy(reasons, asJSON)
}

// answerWhy writes the verdicts, and fails if one denies.
func (c *cli) answerWhy(reasons []reason, asJSON bool) error {
	if err := writeReasons(c.stdout, reasons, asJSON); err != nil {
		return err
	}
	if slices.ContainsFunc(reasons, func(r reason) bool { return !r.Allowed }) {
		return failShown(exitFailed)
	}
	return nil
}

// parseFlow reads host:port; icmp has no port.
func parseFlow(protocol, text string) (network.Flow, error) {
	f := network.Flow{Protocol: network.Protocol(protocol), Host: text}
	switch f.Protocol {
	case network.ICMP:
		return f, nil
	case network.TCP, network.UDP:
	default:
		return f, fmt.Errorf("%q is none of tcp, udp and icmp", protocol)
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return f, fmt.Errorf("%q is no host and port", text)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" {
		return f, fmt.Errorf("%q is no host and port", text)
	}
	f.Host, f.Port = host, uint16(n)
	return f, nil
}

// networked returns the sandboxes that have a network, or the one that is asked for.
func networked(p *plan.Plan, only string) ([]*plan.Sandbox, error) {
	var found []*plan.Sandbox
	var all []string
	for _, s := range p.Sandboxes {
		all = append(all, s.Name)
		if s.Network != nil && (only == "" || s.Name == only) {
			found = append(found, s)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case only != "" && !slices.Contains(all, only):
		return nil, errdef.New(errdef.ErrNotFound, "there is no sandbox %q", only).WithRemedy("there are: %v", all)
	case only != "":
		return nil, errdef.New(errdef.ErrInvalid, "sandbox %s has no network: it reaches nothing", only)
	}
	return nil, errdef.New(errdef.ErrInvalid, "no sandbox has a network: they reach nothing")
}

// reason is a verdict about one sandbox.
type reason struct {
	Stage   string `json:"stage,omitempty"` // of a run
	Sandbox string `json:"sandbox"`
	Allowed bool   `json:"allowed"`
	Rule    string `json:"rule"`
	Reason  string `json:"reason,omitempty"`
}

func explainAll(ctx context.Context, host *pluginhost.Host, sandboxes []*plan.Sandbox, f network.Flow) ([]reason, error) {
	var out []reason
	for _, s := range sandboxes {
		v, err := explain(ctx, host, s, f)
		if err != nil {
			return nil, fmt.Errorf("sandbox %s: %w", s.Name, err)
		}
		out = append(out, reason{"", s.Name, v.Action == network.Allow, event.Clean(v.Rule), event.Clean(v.Reason)})
	}
	return out, nil
}

// explain asks a network plugin that has a sandbox's policy, and no guest.
func explain(ctx context.Context, host *pluginhost.Host, s *plan.Sandbox, f network.Flow) (network.Verdict, error) {
	attachment, err := policy.Attachment(s.Network, policy.LocalHost())
	if err != nil {
		return network.Verdict{}, failWith(exitUsage, err)
	}
	attachment.Published = nil // these ports may be taken, by the run that is asked about
	plugin, err := host.Start(ctx, pluginhost.Request{
		Kind: base.KindNetwork, Name: s.Network.Plugin, Instance: s.Name, Config: s.Network.Config,
	})
	if err != nil {
		return network.Verdict{}, err
	}
	defer plugin.Close(ctx)
	if _, err := plugin.Network().Attach(ctx, attachment); err != nil {
		return network.Verdict{}, err
	}
	return plugin.Network().Explain(ctx, f)
}

func writeReasons(w io.Writer, reasons []reason, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(reasons)
	}
	for _, r := range reasons {
		verdict := "denied"
		if r.Allowed {
			verdict = "allowed"
		}
		who := r.Sandbox
		if r.Stage != "" && r.Stage != r.Sandbox {
			who = event.Clean(r.Stage) + " (" + event.Clean(r.Sandbox) + ")"
		}
		fmt.Fprintf(w, "%s: %s by %s\n", who, verdict, r.Rule)
		if r.Reason != "" {
			fmt.Fprintf(w, "  %s\n", r.Reason)
		}
	}
	return nil
}
