package agent

import (
	"fmt"
	"math"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// meter holds an agent's spending against its budget.
type meter struct {
	budget plan.Budget
	model  string
	price  *llm.Price
	most   int // what the model can write in one turn; 0 when unknown
}

// newMeter refuses a budget in dollars for a model whose price nobody knows: it could not be kept.
func newMeter(b plan.Budget, d llm.Description, model string) (meter, error) {
	m := meter{budget: b, model: model}
	for _, known := range d.Models {
		if known.ID == model {
			m.price, m.most = known.Price, known.MaxOutputTokens
		}
	}
	if b.USD > 0 && m.price == nil {
		return meter{}, errdef.New(errdef.ErrState, "the agent has a budget of $%g, but the price of model %q is unknown", b.USD, model).
			WithReason("price_unknown").
			WithRemedy("give the price in the llm block, or limit tokens instead of usd in the agent's budget")
	}
	return m, nil
}

// cost fills in what a turn cost, where the provider left it open and the price is known.
func (m meter) cost(u llm.Usage) llm.Usage {
	if u.CostKnown || m.price == nil {
		return u
	}
	// The sum of many requests does not tell whether one of them was longer than the price holds for.
	if read := u.InputTokens + u.CacheReadTokens + u.CacheWriteTokens; m.price.UpTo > 0 && read > m.price.UpTo {
		return u
	}
	const million = 1e6
	u.CostKnown = true
	u.CostUSD = (float64(u.InputTokens)*m.price.Input + float64(u.OutputTokens)*m.price.Output +
		float64(u.CacheReadTokens)*m.price.CacheRead + float64(u.CacheWriteTokens)*m.price.CacheWrite) / million
	return u
}

// check returns a LimitError once the budget is used up.
func (m meter) check(spent event.Totals) error {
	if used := tokens(spent); m.budget.Tokens > 0 && used >= m.budget.Tokens {
		return &LimitError{Limit: LimitTokens, Max: fmt.Sprintf("%d tokens", m.budget.Tokens), Used: fmt.Sprintf("%d", used)}
	}
	if m.budget.USD <= 0 {
		return nil
	}
	if !spent.CostKnown && spent != (event.Totals{}) {
		return errdef.New(errdef.ErrState, "the agent has a budget of $%g, but what it spent is unknown", m.budget.USD).WithReason("price_unknown")
	}
	if spent.CostUSD >= m.budget.USD {
		return &LimitError{Limit: LimitUSD, Max: fmt.Sprintf("$%g", m.budget.USD), Used: fmt.Sprintf("$%.4f", spent.CostUSD)}
	}
	return nil
}

// maxOutput bounds the next turn by what is left of the budget; 0 means the provider's own limit.
func (m meter) maxOutput(spent event.Totals) int {
	most := uint64(m.most)
	lower := func(n uint64) {
		if n = max(n, 1); most == 0 || n < most {
			most = n
		}
	}
	if m.budget.Tokens > 0 {
		lower(m.budget.Tokens - min(tokens(spent), m.budget.Tokens))
	}
	if m.budget.USD > 0 && m.price != nil && m.price.Output > 0 {
		lower(uint64(min(math.Round(max(m.budget.USD-spent.CostUSD, 0)/m.price.Output*1e6), math.MaxInt32)))
	}
	return int(min(most, math.MaxInt32))
}

// tokens counts everything that was read and written, cached or not.
func tokens(t event.Totals) uint64 {
	return t.InputTokens + t.OutputTokens + t.CacheReadTokens + t.CacheWriteTokens
}
