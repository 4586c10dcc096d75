package llm

import (
	"math"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Limits of what crosses the wire. Both ends demand them, since neither trusts the other.
const (
	// MaxLineBytes is the longest line of a command-line agent that ParseCLI takes.
	MaxLineBytes = 1 << 20
	// MaxMessages is the largest number of messages in a conversation.
	MaxMessages = 10_000
	// MaxParts is the largest number of parts of a message, and of events that one line yields.
	MaxParts = 1_024
	// MaxTools is the largest number of tools that a request offers.
	MaxTools = 512
	// MaxTurnBytes bounds a finished turn, and MaxDeltaBytes the sum of its deltas.
	MaxTurnBytes  = 8 << 20
	MaxDeltaBytes = 4 * MaxTurnBytes
	// MaxProgress is the largest number of deltas and retries of one turn.
	MaxProgress = 1 << 20

	maxName       = 256      // names and ids of tools and calls
	maxList       = 4_096    // arguments, variables, hosts, models
	maxPlanBytes  = 16 << 20 // files and standard input of a command-line agent
	maxTokenCount = 1 << 40
)

// broken says that the peer does not keep to the contract.
func broken(format string, args ...any) error {
	return errdef.New(errdef.ErrDataLoss, "llm contract violated: "+format, args...).WithReason("contract_violated")
}

func checkUsage(u Usage) error {
	for _, n := range []uint64{u.InputTokens, u.OutputTokens, u.CacheReadTokens, u.CacheWriteTokens} {
		if n > maxTokenCount {
			return broken("%d tokens in one usage", n)
		}
	}
	if u.CostUSD < 0 || math.IsNaN(u.CostUSD) || math.IsInf(u.CostUSD, 0) {
		return broken("a cost of %v dollars", u.CostUSD)
	}
	return nil
}

// checkTurn holds a finished turn against the contract: spoken by the assistant, bounded, each call with an id of its own.
func checkTurn(t Turn) error {
	if t.Message.Role != Assistant {
		return broken("turn spoken by %q", t.Message.Role)
	}
	if err := checkMessage(t.Message); err != nil {
		return err
	}
	size, seen := 0, map[string]bool{}
	for _, p := range t.Message.Parts {
		size += len(p.Text) + len(p.Opaque)
		if p.ToolResult != nil {
			return broken("turn holds the result of a tool")
		}
		if p.ToolCall == nil {
			continue
		}
		size += len(p.ToolCall.Arguments)
		if seen[p.ToolCall.ID] {
			return broken("two tool calls with the id %q", p.ToolCall.ID)
		}
		seen[p.ToolCall.ID] = true
	}
	if size > MaxTurnBytes {
		return broken("turn of %d bytes, at most %d are allowed", size, MaxTurnBytes)
	}
	return checkUsage(t.Usage)
}

func checkMessage(m Message) error {
	if len(m.Parts) > MaxParts {
		return broken("message of %d parts, at most %d are allowed", len(m.Parts), MaxParts)
	}
	for _, p := range m.Parts {
		if c := p.ToolCall; c != nil && (c.ID == "" || c.Name == "" || len(c.ID) > maxName || len(c.Name) > maxName) {
			return broken("tool call %.64q of tool %.64q: id and name need 1 to %d bytes", c.ID, c.Name, maxName)
		}
		if r := p.ToolResult; r != nil && (r.CallID == "" || len(r.CallID) > maxName) {
			return broken("tool result for call %.64q: the id needs 1 to %d bytes", r.CallID, maxName)
		}
	}
	return nil
}

func checkPlan(p CLIPlan) error {
	if len(p.Args) == 0 {
		return broken("plan without a command line")
	}
	for what, n := range map[string]int{
		"arguments": len(p.Args), "variables": len(p.Env), "files": len(p.Files),
		"credentials": len(p.Credentials), "hosts": len(p.Hosts), "programs": len(p.Programs),
	} {
		if n > maxList {
			return broken("plan with %d %s, at most %d are allowed", n, what, maxList)
		}
	}
	size := len(p.Stdin)
	for _, f := range p.Files {
		size += len(f.Content)
	}
	if size > maxPlanBytes {
		return broken("plan with %d bytes of files and input, at most %d are allowed", size, maxPlanBytes)
	}
	return nil
}
