package dns

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/time/rate"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
)

// Bounds of what a guest can have us do.
const (
	maxFlights   = 256 // questions upstream at once
	maxWaiters   = 32  // for one answer
	maxPerSecond = 500 // questions upstream
	maxBurst     = 1000
)

// Config is what a server needs.
type Config struct {
	Policy *policy.Evaluator
	// Servers returns the host's resolvers as of now.
	Servers func() []netip.AddrPort
	// Denied is told of each question, and each part of an answer, that the policy denied.
	Denied func(from netip.AddrPort, v policy.Verdict)
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// Server answers a guest's questions.
type Server struct {
	cfg       Config
	now       func() time.Time
	cache     cache
	upstreams upstreams
	limit     *rate.Limiter
	count     counters

	ctx     context.Context // of all flights
	cancel  context.CancelFunc
	flights sync.WaitGroup

	mu     sync.Mutex
	closed bool
	under  map[key]*flight
}

// flight is a question that is being asked upstream.
type flight struct{ waiters []func(*answer, error) }

type counters struct{ queries, denied, cached, asked, failed, limited, rebound atomic.Uint64 }

// New returns a server.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, now: cfg.Now, limit: rate.NewLimiter(maxPerSecond, maxBurst), under: make(map[key]*flight)}
	if s.now == nil {
		s.now = time.Now
	}
	s.upstreams = upstreams{servers: cfg.Servers, timing: timing{askTime, retryTime, nextTime}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close ends all questions and waits for them.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.flights.Wait()
}

// Stats adds the server's counters to to.
func (s *Server) Stats(to map[string]uint64) {
	c := &s.count
	for name, v := range map[string]*atomic.Uint64{
		"dns.queries": &c.queries, "dns.denied": &c.denied, "dns.cached": &c.cached, "dns.asked": &c.asked, "dns.failed": &c.failed,
		"dns.limited": &c.limited, "dns.rebinding_dropped": &c.rebound, "dns.forged": &s.upstreams.forged,
	} {
		to[name] = v.Load()
	}
}

// ServeUDP answers a datagram. It does not wait: reply is called at once or later, at most once.
func (s *Server) ServeUDP(from netip.AddrPort, datagram []byte, reply func([]byte)) {
	s.serve(from, datagram, false, func(b []byte) {
		if b != nil {
			reply(b)
		}
	})
}

// serve answers a message with what fits its transport, nil for one that deserves no answer.
func (s *Server) serve(from netip.AddrPort, msg []byte, stream bool, send func([]byte)) {
	s.count.queries.Add(1)
	q, code, err := parseQuery(msg)
	if errors.Is(err, errNoAnswer) {
		send(nil)
		return
	}
	limit := q.size
	if stream {
		limit = maxMessage
	}
	if err != nil {
		send(q.pack(reply{code: code}, limit))
		return
	}
	s.resolve(from, &q, func(r reply) { send(q.pack(r, limit)) })
}

// resolve finds what to answer.
func (s *Server) resolve(from netip.AddrPort, q *query, done func(reply)) {
	if r, ok := s.builtin(q); ok {
		if asked := strings.TrimSuffix(q.question.Name.String(), "."); q.name == "" && asked != "" {
			s.deny(from, strings.Trim(strconv.QuoteToASCII(asked), `"`), policy.Verdict{Rule: policy.RuleName, Reason: "not a host name"})
		}
		done(r)
		return
	}
	v := s.cfg.Policy.Lookup(q.name)
	switch {
	case !v.Allow:
		s.deny(from, q.name, v)
		done(reply{code: dnsmessage.RCodeNameError})
		return
	case v.Service != nil:
		done(service(q, v.Service.Guest.Addr()))
		return
	case s.cfg.Policy.Restricted() && (q.question.Type == dnsmessage.TypeHTTPS || q.question.Type == dnsmessage.TypeSVCB):
		done(reply{}) // they carry the keys of encrypted hellos
		return
	}
	k := key{q.name, q.question.Type}
	if a, age := s.cache.get(k, s.now()); a != nil {
		s.count.cached.Add(1)
		done(s.view(from, q, a, age))
		return
	}
	s.ask(k, q.question.Name, func(a *answer, err error) {
		if err != nil {
			s.count.failed.Add(1)
			done(reply{code: dnsmessage.RCodeServerFailure})
			return
		}
		done(s.view(from, q, a, 0))
	})
}

// view makes a reply of an answer and has the policy learn what is in it.
func (s *Server) view(from netip.AddrPort, q *query, a *answer, age time.Duration) reply {
	seen := a.judge(s.cfg.Policy)
	for _, v := range seen.denied {
		s.deny(from, q.name, v)
	}
	if seen.refused {
		return reply{code: dnsmessage.RCodeNameError}
	}
	s.count.rebound.Add(uint64(len(seen.denied)))
	if len(seen.addrs) > 0 {
		s.cfg.Policy.Learn(q.name, seen.addrs, a.ttl-age)
	}
	return reply{code: a.code, answers: aged(seen.records, age), authority: aged(a.soa, age)}
}

func (s *Server) deny(from netip.AddrPort, name string, v policy.Verdict) {
	s.count.denied.Add(1)
	v.Name = name
	if s.cfg.Denied != nil {
		s.cfg.Denied(from, v)
	}
}

// ask joins the flight of a question, or starts one.
func (s *Server) ask(k key, name dnsmessage.Name, done func(*answer, error)) {
	s.mu.Lock()
	f := s.under[k]
	var refused error
	switch {
	case s.closed:
		refused = context.Canceled
	case f != nil && len(f.waiters) < maxWaiters:
		f.waiters = append(f.waiters, done)
	case f != nil || len(s.under) >= maxFlights || !s.limit.AllowN(s.now(), 1):
		s.count.limited.Add(1)
		refused = errBusy
	default:
		f = &flight{waiters: []func(*answer, error){done}}
		s.under[k] = f
		s.flights.Go(func() { s.fly(k, name, f) })
	}
	s.mu.Unlock()
	if refused != nil {
		done(nil, refused)
	}
}

func (s *Server) fly(k key, name dnsmessage.Name, f *flight) {
	s.count.asked.Add(1)
	a, err := s.upstreams.ask(s.ctx, name, k.typ)
	if err == nil {
		s.cache.put(k, a, s.now())
	} else if s.ctx.Err() == nil {
		slog.Debug("a name was not resolved", "name", k.name, "type", k.typ, "error", err)
	}
	s.mu.Lock()
	delete(s.under, k)
	waiters := f.waiters
	s.mu.Unlock()
	for _, done := range waiters {
		done(a, err)
	}
}
