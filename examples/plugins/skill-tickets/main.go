// Command voidbox-skill-tickets is a plugin for voidbox: a skill by which an agent reads the tickets of a tracker and comments on
// them. The tracker is a directory of the host, which the agent's sandbox never sees: the plugin does what the two tools say, and
// nothing else. One that is reached over the network, with a token, would look the same.
package main

import "github.com/voidbox-run/voidbox/sdk"

func main() {
	t := &tracker{}
	sdk.Serve(sdk.Plugin{
		Name:        "tickets",
		Version:     "1.0.0",
		Description: "Reads tickets and comments on them.",
		Schema:      schema,
		Configure:   t.configure,
		Skill:       t,
	})
}
