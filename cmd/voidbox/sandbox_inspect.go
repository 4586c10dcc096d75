package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/shim"
)

// inspection is all that is known of a named sandbox, without its tokens.
type inspection struct {
	summary
	PID         int             `json:"pid,omitempty"`
	Socket      string          `json:"socket,omitempty"`
	AgentSocket string          `json:"agent_socket,omitempty"`
	File        *shim.File      `json:"file,omitempty"`
	Definition  json.RawMessage `json:"definition,omitempty"`
	HostEnv     []string        `json:"host_env,omitempty"`
}

func (c *cli) sandboxInspectCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect NAME",
		Short: "Print all that is known of a sandbox, as JSON",
		Long: "inspect prints a sandbox's definition and state. socket is where its shim serves the sandbox contract; agent_socket is the host's\n" +
			"socket of the guest's vsock ports, of a VM.",
		Args: oneSandbox,
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := c.named(args[0])
			if err != nil {
				return err
			}
			i := inspection{
				summary: summarise(b), PID: b.Instance.PID, AgentSocket: b.Instance.AgentSocket, File: b.File,
				Definition: json.RawMessage(b.Text), HostEnv: b.HostEnv,
			}
			if b.Instance.RuntimeDir != "" {
				i.Socket = b.Instance.Socket()
			}
			return c.printJSON(i)
		},
	}
}
