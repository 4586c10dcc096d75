package run

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/voidbox-run/voidbox/core/agent"
	"github.com/voidbox-run/voidbox/core/broker"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/policy"
	"github.com/voidbox-run/voidbox/core/price"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// The broker as a guest sees it: a service at its gateway.
const (
	brokerService = "voidbox-broker"
	brokerPort    = 7790
	maxTroubles   = 10      // of one loan that are told: a guest can cause any number
	slirp         = "slirp" // network of a sandbox that has none in the file, but a model to reach
)

// lenders holds the run's one broker, which starts when the first agent needs it, and who has lent what.
type lenders struct {
	mu     sync.Mutex
	broker *broker.Broker
	loans  map[string]*loan // by token
}

// loan is how a command-line agent in a guest gets at its model without holding the key: it talks to the broker. A nil loan is an
// agent that needs none.
type loan struct {
	run     *Run
	bound   *plan.AgentRun
	events  event.Scope
	prices  map[string]price.Price
	sandbox *plan.Sandbox // with the way to the broker
	base    string        // URL at which the guest finds it
	token   string
	broker  *broker.Broker // nil for a sandbox that cannot reach anything

	troubles atomic.Int32 // that were told

	over bool // it was taken back

	ctx    context.Context // ends with the loan; its cause may be a limit that was reached
	cancel context.CancelCauseFunc
}

// lendTo finds out whether an agent needs a credential in its sandbox, and prepares the way by which it gets the use of one. Only
// then must the provider be there before the sandbox is made.
func (r *Run) lendTo(ctx context.Context, bound *plan.AgentRun, events event.Scope) (*loan, error) {
	if bound.Mode == agent.ModeNative {
		return nil, nil
	}
	plugin, err := r.crew.shared(r.ctx, ctx, bound.LLM, llmRequest(bound.LLM))
	if err != nil {
		return nil, err
	}
	provider := plugin.LLM()
	p, err := agent.Preview(ctx, provider, bound.Mode, modelOf(bound))
	if err != nil || len(p.Credentials) == 0 {
		return nil, nil // what is wrong with the provider is for the agent to say
	}
	b, err := r.chooseBackend(ctx, bound.Sandbox)
	if err != nil {
		return nil, err
	}
	l := &loan{run: r, bound: bound, events: events, token: broker.NewToken(), sandbox: bound.Sandbox}
	if l.prices, err = r.pricesOf(ctx, bound, provider); err != nil {
		return nil, err
	}
	if err := l.lead(ctx, b); err != nil {
		return nil, err
	}
	l.ctx, l.cancel = context.WithCancelCause(r.ctx)
	return l, nil
}

// lead makes the guest's way to the broker. Only a VM has a network of ours; a sandbox plugin, such as the mock, reaches nothing, and
// is told an address all the same.
func (l *loan) lead(ctx context.Context, b backend) (err error) {
	spec := l.bound.Sandbox
	at, err := freeAddress(spec.Network)
	if err != nil {
		return &ConfigError{Err: fmt.Errorf("sandbox %s: %w", spec.Name, err)}
	}
	l.base = "http://" + at.String()
	if b.kind != base.KindVMM {
		return nil
	}
	if l.broker, err = l.run.openBroker(ctx); err != nil {
		return &MachineError{Err: err}
	}
	l.sandbox = withService(spec, plan.Service{Name: brokerService, Address: at.String(), UnixPath: l.broker.Socket})
	if err := l.run.checkNetwork(l.sandbox, b); err != nil {
		return &ConfigError{Err: fmt.Errorf("agent %s reaches its model through the network: %w", l.bound.Agent, err)}
	}
	return nil
}

// sandboxOf is the sandbox to make for an agent.
func (l *loan) sandboxOf(bound *plan.AgentRun) *plan.Sandbox {
	if l == nil {
		return bound.Sandbox
	}
	return l.sandbox
}

// lender is what the agent calls when it needs a credential; nil for one that needs none.
func (l *loan) lender() func(context.Context, []llm.Credential) (agent.Loan, error) {
	if l == nil {
		return nil
	}
	return l.grant
}

// withService returns a sandbox whose guest reaches one service more. One without a network gets one that leads to the service alone.
func withService(s *plan.Sandbox, service plan.Service) *plan.Sandbox {
	out := *s
	out.Network = &plan.Network{Block: plan.Block{Plugin: slirp, Label: slirp}, Egress: &plan.Egress{}}
	if s.Network != nil {
		n := *s.Network
		out.Network = &n
	}
	out.Network.Services = append(slices.Clone(out.Network.Services), service)
	return &out
}

// freeAddress finds a port of the gateway that no service of the file has.
func freeAddress(n *plan.Network) (netip.AddrPort, error) {
	var layout plan.NetworkLayout
	var services []plan.Service
	if n != nil {
		layout, services = n.Layout, n.Services
	}
	a, err := policy.Layout(layout, policy.LocalHost())
	if err != nil {
		return netip.AddrPort{}, err
	}
	for port := uint16(brokerPort); port < brokerPort+1000; port++ {
		at := netip.AddrPortFrom(a.Gateway[0].Addr(), port)
		if !slices.ContainsFunc(services, func(s plan.Service) bool { return s.Address == at.String() }) {
			return at, nil
		}
	}
	return netip.AddrPort{}, errdef.New(errdef.ErrInvalid, "services take every port of the gateway from %d on", brokerPort)
}

// openBroker starts the run's broker, once.
func (r *Run) openBroker(ctx context.Context) (*broker.Broker, error) {
	r.lenders.mu.Lock()
	defer r.lenders.mu.Unlock()
	if r.lenders.broker != nil {
		return r.lenders.broker, nil
	}
	b, err := broker.Start(ctx, broker.Config{Program: r.cfg.Broker, Env: broker.Environment(os.Getenv), Heard: r.lenders.heard})
	if err != nil {
		return nil, err
	}
	r.lenders.broker = b
	return b, nil
}

// close ends the broker, if there is one.
func (l *lenders) close(ctx context.Context) error {
	l.mu.Lock()
	b := l.broker
	l.mu.Unlock()
	if b == nil {
		return nil
	}
	return b.Close(ctx)
}

// heard takes what the broker has to say of a loan.
func (l *lenders) heard(report broker.Report) {
	l.mu.Lock()
	loan := l.loans[report.Token]
	l.mu.Unlock()
	if loan == nil {
		return
	}
	if report.Trouble != "" && loan.troubles.Add(1) <= maxTroubles {
		loan.events.Emit(event.Warning{
			Message: "broker: " + event.Clean(report.Trouble), Remedy: fmt.Sprintf("look at %s in the configuration", llmOrigin(loan.bound.LLM)),
		})
	}
	if report.Over != "" {
		loan.cancel(loan.reached(report))
	}
}

// reached is the error of a budget that is used up, or cannot be kept.
func (l *loan) reached(report broker.Report) error {
	budget, spent := l.bound.Budget, report.Spent.Usage
	switch report.Limit {
	case broker.LimitTokens:
		used := spent.InputTokens + spent.OutputTokens + spent.CacheReadTokens + spent.CacheWriteTokens
		return &agent.LimitError{Limit: agent.LimitTokens, Max: fmt.Sprintf("%d tokens", budget.Tokens), Used: fmt.Sprint(used)}
	case broker.LimitUSD:
		return &agent.LimitError{Limit: agent.LimitUSD, Max: fmt.Sprintf("$%g", budget.USD), Used: fmt.Sprintf("$%.4f", spent.CostUSD)}
	}
	return errdef.New(errdef.ErrState, "%s", event.Clean(report.Over)).WithRemedy("take the budget out, or give the price in the llm block")
}

// grant hands the credential to the broker and says what the guest gets in its place.
func (l *loan) grant(_ context.Context, wanted []llm.Credential) (agent.Loan, error) {
	if len(wanted) != 1 {
		return agent.Loan{}, errdef.New(errdef.ErrUnsupported, "the provider's command-line agent needs %d credentials at once", len(wanted)).
			WithRemedy(`set mode = "native" in the agent`)
	}
	c, key, err := wanted[0], "", error(nil)
	if c.Name != "" {
		if key, err = secretOf(l.bound.LLM, c.Name); err != nil {
			return agent.Loan{}, &ConfigError{Err: err}
		}
	}
	if l.broker == nil {
		return agent.Loan{BaseURL: l.base, Placeholder: l.token}, nil
	}
	l.run.lenders.add(l)
	err = l.broker.Grant(broker.Grant{
		Token: l.token, Upstream: c.Upstream, Header: c.Header, Prefix: c.Prefix, Key: key,
		Budget: broker.Budget{Tokens: l.bound.Budget.Tokens, USD: l.bound.Budget.USD}, Prices: l.prices,
	})
	if err != nil {
		return agent.Loan{}, fmt.Errorf("%s: %w", llmOrigin(l.bound.LLM), err)
	}
	return agent.Loan{BaseURL: l.base, Placeholder: l.token}, nil
}

func (l *lenders) add(lent *loan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loans == nil {
		l.loans = map[string]*loan{}
	}
	l.loans[lent.token] = lent
}

// watch returns a context that ends when the broker closes the loan or dies, with the reason as its cause.
func (l *loan) watch(ctx context.Context) (context.Context, func()) {
	if l == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var gone <-chan struct{}
	if l.broker != nil {
		gone = l.broker.Done()
	}
	var done sync.WaitGroup
	done.Go(func() {
		select {
		case <-l.ctx.Done():
			cancel(context.Cause(l.ctx))
		case <-gone:
			cancel(l.broker.Err())
		case <-ctx.Done():
		}
	})
	return ctx, func() { cancel(nil); done.Wait() }
}

// settle takes the loan back, and corrects what the agent's program says it took by what the broker has counted: where the program
// was ended before it said all or is one that a person talks to, and where it does not know the price of its model and the broker
// does. A count that is short of the program's own, as of an answer that nobody waited for, is no ground for a cost.
func (l *loan) settle(told event.Totals) event.Totals {
	counted := l.spent()
	switch {
	case counted == (event.Totals{}) || sum(counted) < sum(told):
		return told
	case sum(told) == 0, sum(counted) > sum(told) && (counted.CostKnown || !told.CostKnown):
		return counted
	case !told.CostKnown && counted.CostKnown:
		told.CostUSD, told.CostKnown = counted.CostUSD, true
	}
	return told
}

func sum(t event.Totals) uint64 {
	return t.InputTokens + t.OutputTokens + t.CacheReadTokens + t.CacheWriteTokens
}

// end takes the loan back.
func (l *loan) end() { l.spent() }

// spent takes the loan back, and says what it has cost: for an agent that a person talks to, the broker is the only one who counts. Nothing
// is known of one that needed no credential.
func (l *loan) spent() event.Totals {
	if l == nil {
		return event.Totals{}
	}
	l.cancel(nil)
	if l.broker == nil || l.over {
		return event.Totals{}
	}
	l.over = true
	l.run.lenders.mu.Lock()
	delete(l.run.lenders.loans, l.token)
	l.run.lenders.mu.Unlock()
	spent, err := l.broker.Revoke(l.token)
	if err != nil { // a broker that has died holds nothing
		return event.Totals{}
	}
	u := spent.Usage
	return event.Totals{
		InputTokens: u.InputTokens, OutputTokens: u.OutputTokens, CacheReadTokens: u.CacheReadTokens, CacheWriteTokens: u.CacheWriteTokens,
		CostUSD: u.CostUSD, CostKnown: u.CostKnown && !spent.Uncounted,
	}
}

// secretOf reads a credential out of a provider's configuration, under the name that the provider has for it.
func secretOf(m *plan.LLM, name string) (string, error) {
	var config map[string]json.RawMessage
	var value string
	if err := json.Unmarshal(m.Config, &config); err == nil {
		err = json.Unmarshal(config[name], &value)
		if err == nil && value != "" {
			return value, nil
		}
	}
	return "", errdef.New(errdef.ErrInvalid, "%s has no %q, which its command-line agent needs", llmOrigin(m), name).
		WithRemedy("set %s = secret.NAME in the block %s", name, llmOrigin(m))
}

// pricesOf are the prices that a budget in dollars is kept by.
func (r *Run) pricesOf(ctx context.Context, bound *plan.AgentRun, provider llm.LLM) (map[string]price.Price, error) {
	if own := bound.LLM.Price; own != nil {
		return map[string]price.Price{"": {Rates: price.Rates(*own)}}, nil
	}
	d, err := provider.Describe(ctx)
	if err != nil {
		return nil, &agent.ModelError{Err: err}
	}
	prices := maps.Clone(r.prices.Lists[d.PriceList].Models)
	for _, m := range d.Models {
		if m.Price == nil {
			continue
		}
		if prices == nil {
			prices = map[string]price.Price{}
		}
		prices[m.ID] = price.Price{Rates: price.Rates{Input: m.Price.Input, Output: m.Price.Output, CacheRead: m.Price.CacheRead, CacheWrite: m.Price.CacheWrite}}
	}
	return prices, nil
}
