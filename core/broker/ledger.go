package broker

import (
	"fmt"
	"net/url"
	"sync"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/price"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// ledger holds the grants and what each has spent.
type ledger struct {
	report func(Report)

	mu     sync.Mutex
	grants map[string]*account // by token
}

// account is a grant in use.
type account struct {
	Grant
	upstream *url.URL
	redactor plan.Redactor

	mu    sync.Mutex
	spent Spent
	over  string // why no further request is let through; empty while they are
}

func newLedger(report func(Report)) *ledger {
	return &ledger{report: report, grants: map[string]*account{}}
}

func (l *ledger) open(g Grant) error {
	u, err := g.check()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.grants[g.Token] = &account{Grant: g, upstream: u, redactor: plan.NewRedactor([]plan.Secret{{Value: g.Key}})}
	return nil
}

// revoke ends a grant and returns what it has spent. Requests that are under way end by themselves.
func (l *ledger) revoke(token string) Spent {
	l.mu.Lock()
	a := l.grants[token]
	delete(l.grants, token)
	l.mu.Unlock()
	if a == nil {
		return Spent{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.spent
}

// find returns the account of a token, or nil. A token has 256 random bits, so how long the search takes tells nothing of another.
func (l *ledger) find(token string) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.grants[token]
}

// admit says why a request may not pass; empty means that it may.
func (a *account) admit() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over == "" {
		a.spent.Requests++
	}
	return a.over
}

// charge books an answer. It returns what is to be reported.
func (a *account) charge(model string, u llm.Usage, told bool) Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.price(model); ok {
		u.CostUSD, u.CostKnown = p.Cost(u), true
	}
	a.spent.Usage = a.spent.Usage.Add(u)
	a.spent.Uncounted = a.spent.Uncounted || !told
	was := a.over
	a.over = a.verdict(model)
	spent := a.spent
	r := Report{Token: a.Token, Spent: &spent}
	if was == "" {
		r.Over, r.Limit = a.over, a.limit()
	}
	return r
}

func (a *account) price(model string) (price.Price, bool) {
	if p, ok := a.Prices[""]; ok {
		return p, true
	}
	return price.Table{Lists: map[string]price.List{"": {Models: a.Prices}}}.Find("", model)
}

// verdict says why the account is closed.
func (a *account) verdict(model string) string {
	switch {
	case a.Budget.none():
		return ""
	case a.spent.Uncounted:
		return "the upstream does not say how many tokens it takes, so the budget cannot be kept"
	case a.Budget.Tokens > 0 && a.spent.tokens() >= a.Budget.Tokens:
		return fmt.Sprintf("the budget of %d tokens is used up (%d)", a.Budget.Tokens, a.spent.tokens())
	case a.Budget.USD > 0 && !a.spent.Usage.CostKnown:
		return fmt.Sprintf("nobody knows the price of model %.80q, so the budget of $%g cannot be kept", model, a.Budget.USD)
	case a.Budget.USD > 0 && a.spent.Usage.CostUSD >= a.Budget.USD:
		return fmt.Sprintf("the budget of $%g is used up ($%.4f)", a.Budget.USD, a.spent.Usage.CostUSD)
	}
	return ""
}

// limit names which bound was reached, where it was one.
func (a *account) limit() Limit {
	switch {
	case a.over == "" || a.spent.Uncounted:
		return ""
	case a.Budget.Tokens > 0 && a.spent.tokens() >= a.Budget.Tokens:
		return LimitTokens
	case a.Budget.USD > 0 && a.spent.Usage.CostKnown:
		return LimitUSD
	}
	return ""
}
