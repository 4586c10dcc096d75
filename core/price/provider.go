package price

import (
	"context"
	"sync/atomic"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

// Provider returns m with the prices of its models filled in, and the cost of each turn that it does not tell itself. model is the
// one that will be asked, empty for the default; own is the price that the user has given for it, nil without.
func Provider(m llm.LLM, model string, own *Price, t Table) llm.LLM {
	return &priced{LLM: m, model: model, own: own, table: t}
}

type priced struct {
	llm.LLM
	model string
	own   *Price
	table Table
	list  atomic.Pointer[string] // by which the provider charges, once it has been asked
}

// Describe fills in prices. The model that will be asked is listed too if it has one, though the provider does not know it.
func (p *priced) Describe(ctx context.Context) (llm.Description, error) {
	d, err := p.LLM.Describe(ctx)
	if err != nil {
		return d, err
	}
	p.list.Store(&d.PriceList)
	asked := p.model
	if asked == "" {
		asked = d.DefaultModel
	}
	listed := false
	for i := range d.Models {
		m := &d.Models[i]
		listed = listed || m.ID == asked
		if m.ID == asked && p.own != nil {
			m.Price = p.own.contract()
			continue
		}
		if found, ok := p.table.Find(d.PriceList, m.ID); ok && m.Price == nil {
			m.Price = found.contract()
		}
	}
	if price := p.find(d.PriceList, asked); price != nil && !listed {
		d.Models = append(d.Models, llm.Model{ID: asked, Tools: true, Price: price.contract()})
	}
	return d, nil
}

func (p *priced) find(list, model string) *Price {
	if p.own != nil {
		return p.own
	}
	if found, ok := p.table.Find(list, model); ok {
		return &found
	}
	return nil
}

// contract is the price as the contract knows it, without what long requests cost.
func (p Price) contract() *llm.Price {
	return &llm.Price{Input: p.Input, Output: p.Output, CacheRead: p.CacheRead, CacheWrite: p.CacheWrite, UpTo: p.Above}
}

// Complete fills in the cost of a turn.
func (p *priced) Complete(ctx context.Context, req llm.Request, progress func(llm.Progress) error) (llm.Turn, error) {
	turn, err := p.LLM.Complete(ctx, req, progress)
	if err != nil || turn.Usage.CostKnown {
		return turn, err
	}
	list := ""
	if told := p.list.Load(); told != nil {
		list = *told
	}
	if price := p.find(list, req.Model); price != nil {
		turn.Usage.CostUSD, turn.Usage.CostKnown = price.Cost(turn.Usage), true
	}
	return turn, nil
}
