package price

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testllm"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

func TestBuiltin(t *testing.T) {
	table := Builtin()
	for name, list := range table.Lists {
		if len(list.AsOf) != len("2026-11-26") || list.Source == "" || len(list.Models) == 0 {
			t.Errorf("list %s: as of %q, source %q, %d models", name, list.AsOf, list.Source, len(list.Models))
		}
	}
	// What Claude Code 2.1.330 and 2.1.332 charged in the recorded streams (internal/claudecode/testdata).
	for _, c := range []struct {
		model string
		usage llm.Usage
		usd   float64
	}{
		{"claude-opus-5-5", llm.Usage{InputTokens: 200, OutputTokens: 27, CacheReadTokens: 20, CacheWriteTokens: 40}, 0.001544},
		{"claude-sonnet-5-5", llm.Usage{InputTokens: 100, OutputTokens: 7, CacheReadTokens: 10, CacheWriteTokens: 20}, 0.000321},
		{"claude-sonnet-5-5-20261001", llm.Usage{InputTokens: 500, OutputTokens: 50, CacheReadTokens: 100}, 0.00151},
		{"claude-haiku-5-5", llm.Usage{InputTokens: 100_000}, 0.01},
		{"claude-haiku-5-5", llm.Usage{InputTokens: 100_000, CacheReadTokens: 100}, 0.050005},
	} {
		p, ok := table.Find("anthropic", c.model)
		if got := p.Cost(c.usage); !ok || math.Abs(got-c.usd) > 1e-9 {
			t.Errorf("%s %+v: $%v, want $%v", c.model, c.usage, got, c.usd)
		}
	}
	for _, stranger := range [][2]string{{"anthropic", "claude-opus-5-5-fast"}, {"", "claude-opus-5-5"}, {"openai", "claude-opus-5-5"}} {
		if _, ok := table.Find(stranger[0], stranger[1]); ok {
			t.Errorf("%q has a price", stranger)
		}
	}
}

func TestUsersFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prices.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := load(file); err != nil {
		t.Errorf("without a file: %v", err)
	}
	write(`{"lists": {"anthropic": {"models": {"claude-opus-5-5": {"input": 1, "output": 2}}}, "mine": {"models": {"m": {"input": 3}}}}}`)
	table, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	for model, want := range map[[2]string]float64{{"anthropic", "claude-opus-5-5"}: 1, {"anthropic", "claude-sonnet-5-5"}: 2, {"mine", "m"}: 3} {
		if p, ok := table.Find(model[0], model[1]); !ok || p.Input != want {
			t.Errorf("%v costs %v", model, p)
		}
	}
	if p, _ := Builtin().Find("anthropic", "claude-opus-5-5"); p.Input != 4 {
		t.Error("the user's file changed the built-in table")
	}
	for text, want := range map[string]string{
		"{\n oops": "line 2", `{}`: `no "lists"`, `{"lists": {"a": {"modelz": {}}}}`: "modelz",
		`{"lists": {"a": {"models": {"m": {"input": -1}}}}}`: "the price of m in list a", `{"lists": {"a": {"models": {"m": {"above": 5}}}}}`: "only one of",
	} {
		write(text)
		if _, err := load(file); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) || errdef.Remedy(err) == "" {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// provider is one whose turns took a million tokens of input.
func provider(list string, models ...llm.Model) *testllm.LLM {
	m := testllm.Script(testllm.Used(testllm.Say("x"), llm.Usage{InputTokens: 1_000_000}))
	m.Description = &llm.Description{Native: true, DefaultModel: "claude-opus-5-5", Models: models, PriceList: list}
	return m
}

func TestProvider(t *testing.T) {
	known := llm.Model{ID: "claude-opus-5-5", Tools: true}
	for name, c := range map[string]struct {
		llm   *testllm.LLM
		model string
		own   *Price
		usd   float64 // -1 when unknown
	}{
		"by the table":                 {provider("anthropic", known), "", nil, 4},
		"not in the provider's list":   {provider("anthropic", known), "claude-sonnet-5-5-20261001", nil, 2},
		"unknown model":                {provider("anthropic", known), "claude-next", nil, -1},
		"somebody else's server":       {provider("", known), "", nil, -1},
		"the user's price":             {provider("", known), "claude-next", &Price{Rates: Rates{Input: 7}}, 7},
		"the user's price is stronger": {provider("anthropic", known), "claude-opus-5-5", &Price{Rates: Rates{Input: 7}}, 7},
	} {
		t.Run(name, func(t *testing.T) {
			m := Provider(c.llm, c.model, c.own, Builtin())
			d, err := m.Describe(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			asked := c.model
			if asked == "" {
				asked = d.DefaultModel
			}
			price := -1.0
			for _, listed := range d.Models {
				if listed.ID == asked && listed.Price != nil {
					price = listed.Price.Input
				}
				if listed.ID == asked && !listed.Tools {
					t.Error("the model has lost its tools")
				}
			}
			turn, err := m.Complete(context.Background(), llm.Request{Model: asked, Messages: []llm.Message{{Role: llm.User}}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			cost := -1.0
			if turn.Usage.CostKnown {
				cost = turn.Usage.CostUSD
			}
			if price != c.usd || cost != c.usd {
				t.Errorf("price %v, cost %v, want %v", price, cost, c.usd)
			}
		})
	}
}
