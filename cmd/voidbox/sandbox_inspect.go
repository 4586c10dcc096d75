package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/shim"
)

// inspection is all that is known of a named sandbox. Its tokens are shown on demand only.
type inspection struct {
	summary
	PID         int             `json:"pid,omitempty"`
	Socket      string          `json:"socket,omitempty"`
	AgentSocket string          `json:"agent_socket,omitempty"`
	File        *shim.File      `json:"file,omitempty"`
	Definition  json.RawMessage `json:"definition,omitempty"`
	HostEnv     []string        `json:"host_env,omitempty"`
	Token       []byte          `json:"token,omitempty"`
	AgentToken  []byte          `json:"agent_token,omitempty"`
}

func (c *cli) sandboxInspectCommand() *cobra.Command {
	var tokens bool
	cmd := &cobra.Command{
		Use:   "inspect NAME",
		Short: "Print all that is known of a sandbox, as JSON",
		Long: "inspect prints a sandbox's definition and state. socket is where its shim serves the sandbox contract; agent_socket is the host's\n" +
			"socket of the guest's vsock ports, of a VM: connect, write \"CONNECT 1234\\n\", read \"OK <n>\\n\", and speak to the agent.",
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
			if tokens {
				i.Token, i.AgentToken = b.Instance.Token, b.Instance.AgentToken
			}
			return c.printJSON(i)
		},
	}
	cmd.Flags().BoolVar(&tokens, "tokens", false, "print also the tokens that authorise calls at the sockets")
	return cmd
}
