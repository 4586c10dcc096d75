package dns

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/voidbox-run/voidbox/internal/hostname"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
)

// Bounds of what is kept of an answer.
const (
	maxRecords     = 256
	maxAliases     = 16
	maxTTL         = 24 * time.Hour
	maxNegativeTTL = 5 * time.Minute // RFC 2308, section 5
)

// answer is what an upstream said, as far as it is kept.
type answer struct {
	code    dnsmessage.RCode
	records []dnsmessage.Resource // aliases first
	soa     []dnsmessage.Resource // of a negative answer
	aliases []string              // canonical
	ttl     time.Duration
	length  int // of the message
}

// What an answer takes in memory beside its message: of it, and of each record, most of which are two names in arrays of 255 bytes.
const (
	answerSize = 512
	recordSize = 640
)

// size is what the answer takes in memory, more or less.
func (a *answer) size() int { return answerSize + a.length + recordSize*(len(a.records)+len(a.soa)) }

// readAnswer keeps of an answer what belongs to the question.
func readAnswer(msg []byte, name dnsmessage.Name, typ dnsmessage.Type) (*answer, error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil {
		return nil, err
	}
	if err := p.SkipAllQuestions(); err != nil {
		return nil, err
	}
	a := &answer{code: h.RCode, ttl: maxTTL, length: len(msg)}
	all, err := records(p.Answer)
	if err != nil {
		return nil, err
	}
	a.follow(all, name, typ)
	if len(a.records) > len(a.aliases) {
		return a, nil
	}
	return a, a.negative(&p)
}

// records reads a section of bounded length. Records of types that cannot be written anew are left out.
func records(next func() (dnsmessage.Resource, error)) ([]dnsmessage.Resource, error) {
	var out []dnsmessage.Resource
	for range maxRecords {
		r, err := next()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if r.Header.Class == dnsmessage.ClassINET && known[r.Header.Type] {
			out = append(out, r)
		}
	}
	return nil, errors.New("an answer of too many records")
}

// follow keeps the chain of aliases from name and the records of the type at its end.
func (a *answer) follow(all []dnsmessage.Resource, name dnsmessage.Name, typ dnsmessage.Type) {
	for range maxAliases {
		var alias *dnsmessage.Resource
		for i := range all {
			switch r := &all[i]; {
			case !same(r.Header.Name, name):
			case r.Header.Type == typ:
				a.keep(*r)
			case r.Header.Type == dnsmessage.TypeCNAME && alias == nil:
				alias = r
			}
		}
		if alias == nil || len(a.records) > len(a.aliases) {
			return
		}
		name = alias.Body.(*dnsmessage.CNAMEResource).CNAME
		target, _ := hostname.Canonical(name.String())
		a.aliases = append(a.aliases, target)
		a.keep(*alias)
	}
}

func (a *answer) keep(r dnsmessage.Resource) {
	a.ttl = min(a.ttl, seconds(r.Header.TTL))
	switch body := r.Body.(type) {
	case *dnsmessage.SVCBResource:
		dropHints(body)
	case *dnsmessage.HTTPSResource:
		dropHints(&body.SVCBResource)
	}
	a.records = append(a.records, r)
}

// negative finds how long there is no such thing (RFC 2308).
func (a *answer) negative(p *dnsmessage.Parser) error {
	authority, err := records(p.Authority)
	if err != nil {
		return err
	}
	ttl := a.ttl
	a.ttl = 0
	for _, r := range authority {
		if body, ok := r.Body.(*dnsmessage.SOAResource); ok {
			a.soa = []dnsmessage.Resource{r}
			a.ttl = min(ttl, seconds(r.Header.TTL), seconds(body.MinTTL), maxNegativeTTL)
		}
	}
	return nil
}

// view is what of an answer may be said under the policy of now. The answer stays as it is, for the cache.
type view struct {
	records []dnsmessage.Resource
	addrs   []netip.Addr
	denied  []policy.Verdict // what was left out, and why
	refused bool             // the whole name is denied, by the last of these
}

// judge asks the policy about the names and addresses of an answer.
func (a *answer) judge(p *policy.Evaluator) view {
	var out view
	for _, alias := range a.aliases {
		if v := p.Alias(alias); !v.Allow {
			return view{denied: []policy.Verdict{v}, refused: true}
		}
	}
	for _, r := range a.records {
		var addr netip.Addr
		switch body := r.Body.(type) {
		case *dnsmessage.AResource:
			addr = netip.AddrFrom4(body.A)
		case *dnsmessage.AAAAResource:
			addr = netip.AddrFrom16(body.AAAA)
		}
		if addr.IsValid() {
			if v := p.Answerable(addr); !v.Allow {
				v.Reason = "an answer with the address " + addr.String()
				out.denied = append(out.denied, v)
				continue
			}
			out.addrs = append(out.addrs, addr)
		}
		out.records = append(out.records, r)
	}
	return out
}

// dropHints removes addresses from where nobody looks for them. Clients ask for A and AAAA as well (RFC 9460, section 7.3).
func dropHints(r *dnsmessage.SVCBResource) {
	r.DeleteParam(dnsmessage.SVCParamIPv4Hint)
	r.DeleteParam(dnsmessage.SVCParamIPv6Hint)
}

// aged returns records with the time to live that is left.
func aged(in []dnsmessage.Resource, age time.Duration) []dnsmessage.Resource {
	out := make([]dnsmessage.Resource, 0, len(in))
	for _, r := range in {
		left := max(seconds(r.Header.TTL)-age, 0)
		r.Header.TTL = uint32(left / time.Second)
		out = append(out, r)
	}
	return out
}

// seconds reads a time to live, of which the top bit counts as none (RFC 2181, section 8).
func seconds(ttl uint32) time.Duration {
	if ttl>>31 != 0 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

func same(a, b dnsmessage.Name) bool { return strings.EqualFold(a.String(), b.String()) }
