package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/control"
)

func (c *cli) publishCommand() *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use:   "publish RUN [[HOST:]PORT:]GUEST[/udp]",
		Short: "Make a port of a guest that runs one of the host",
		Long: "publish forwards a port of the host to one of a guest, for as long as the guest runs, and prints where it is. Without HOST it is\n" +
			"on the loopback, without PORT it is any that is free. RUN is what ps lists, or a run directory.",
		Example: "  voidbox publish 20260102-030405-1a2b3c4d 8080:80\n" +
			"  voidbox publish 20260102-030405-1a2b3c4d 127.0.0.1:5353:53/udp",
		Args: runAndPort("publish 20260102-030405-1a2b3c4d 8080:80"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := parsePublish(args[1])
			if err != nil {
				return failUsage(err, "for example: voidbox publish %s 8080:80", args[0])
			}
			p.Stage = stage
			return withRun(cmd.Context(), args[0], func(ctx context.Context, run *control.Client) error {
				where, err := run.Publish(ctx, p)
				if err == nil {
					fmt.Fprintln(c.stdout, where.Address)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&stage, "stage", "", "publish a port of the guest of this `stage`; needed where several run")
	return cmd
}

func (c *cli) unpublishCommand() *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use:     "unpublish RUN GUEST[/udp]",
		Short:   "Undo publish",
		Long:    "unpublish closes a published port, of the file or of publish, named by its guest's side. TCP connections that are open go on.",
		Example: "  voidbox unpublish 20260102-030405-1a2b3c4d 80",
		Args:    runAndPort("unpublish 20260102-030405-1a2b3c4d 80"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := parsePublish(args[1])
			if err == nil && (p.HostAddress != "" || p.HostPort != 0) {
				err = fmt.Errorf("%q names more than the port of the guest", args[1])
			}
			if err != nil {
				return failUsage(err, "for example: voidbox unpublish %s 80", args[0])
			}
			return withRun(cmd.Context(), args[0], func(ctx context.Context, run *control.Client) error {
				return run.Unpublish(ctx, control.Unpublish{Stage: stage, Protocol: p.Protocol, GuestPort: p.GuestPort})
			})
		},
	}
	cmd.Flags().StringVar(&stage, "stage", "", "speak of the guest of this `stage`; needed where several run")
	return cmd
}

func runAndPort(example string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 2 {
			return failUsage(fmt.Errorf("%s needs a run and a port", cmd.Name()), "for example: voidbox %s", example)
		}
		return nil
	}
}

// parsePublish reads [[host:]port:]guest[/protocol]. An IPv6 host stands in brackets.
func parsePublish(text string) (control.Publish, error) {
	p := control.Publish{Protocol: "tcp"}
	rest, protocol, ok := strings.Cut(text, "/")
	if ok {
		p.Protocol = protocol
	}
	if p.Protocol != "tcp" && p.Protocol != "udp" {
		return p, fmt.Errorf("%q: %q is neither tcp nor udp", text, p.Protocol)
	}
	var host, hostPort string
	guest := rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		hostPort, guest = rest[:i], rest[i+1:]
		if i := strings.LastIndexByte(hostPort, ':'); i >= 0 {
			host, hostPort = hostPort[:i], hostPort[i+1:]
			addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
			if err != nil || addr.Is6() != strings.HasPrefix(host, "[") {
				return p, fmt.Errorf("%q: %q is no address of the host", text, host)
			}
			p.HostAddress = addr.String()
		}
		port, err := strconv.ParseUint(hostPort, 10, 16)
		if err != nil {
			return p, fmt.Errorf("%q: %q is no port", text, hostPort)
		}
		p.HostPort = uint16(port)
	}
	port, err := strconv.ParseUint(guest, 10, 16)
	if err != nil || port == 0 {
		return p, fmt.Errorf("%q: %q is no port of a guest", text, guest)
	}
	p.GuestPort = uint16(port)
	return p, nil
}
