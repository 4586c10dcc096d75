package dns

import (
	"errors"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/voidbox-run/voidbox/internal/hostname"
)

// Sizes of messages over UDP (RFC 1035, section 4.2.1; RFC 6891, section 6.2.5; RFC 9715).
const (
	plainSize  = 512
	largestUDP = 4096
	ednsSize   = 1232
	maxMessage = 65535
)

// Types that dnsmessage has no names for.
const (
	typeNAPTR = dnsmessage.Type(35)
	typeDS    = dnsmessage.Type(43)
	typeSSHFP = dnsmessage.Type(44)
	typeKEY   = dnsmessage.Type(48)
	typeTLSA  = dnsmessage.Type(52)
	typeURI   = dnsmessage.Type(256)
	typeCAA   = dnsmessage.Type(257)
)

// known are the types that can be written anew: records of others may hold compressed names (RFC 3597, section 4).
var known = map[dnsmessage.Type]bool{
	dnsmessage.TypeA: true, dnsmessage.TypeAAAA: true, dnsmessage.TypeCNAME: true, dnsmessage.TypeNS: true, dnsmessage.TypeMX: true,
	dnsmessage.TypePTR: true, dnsmessage.TypeSOA: true, dnsmessage.TypeSRV: true, dnsmessage.TypeTXT: true, dnsmessage.TypeSVCB: true,
	dnsmessage.TypeHTTPS: true, typeNAPTR: true, typeDS: true, typeSSHFP: true, typeKEY: true, typeTLSA: true, typeURI: true, typeCAA: true,
}

// query is what a guest asks.
type query struct {
	header   dnsmessage.Header
	question dnsmessage.Question // as it was asked, in its own capitals
	name     string              // canonical, empty if it is no host name
	edns     bool
	size     int // the largest answer over UDP
}

// errNoAnswer says that a message deserves no answer at all.
var errNoAnswer = errors.New("not a question")

// parseQuery reads a question. With an error other than errNoAnswer, the code says what to answer to the header.
func parseQuery(msg []byte) (query, dnsmessage.RCode, error) {
	q := query{size: plainSize}
	var p dnsmessage.Parser
	var err error
	if q.header, err = p.Start(msg); err != nil || q.header.Response {
		return q, 0, errNoAnswer
	}
	if q.header.OpCode != 0 {
		return q, dnsmessage.RCodeNotImplemented, errors.New("not a query")
	}
	questions, err := p.AllQuestions()
	if err != nil || len(questions) != 1 {
		return q, dnsmessage.RCodeFormatError, errors.New("not one question")
	}
	q.question = questions[0]
	q.name, _ = hostname.Canonical(q.question.Name.String())
	if err := q.readOptions(&p); err != nil {
		return q, dnsmessage.RCodeFormatError, err
	}
	if q.question.Class != dnsmessage.ClassINET {
		return q, dnsmessage.RCodeRefused, errors.New("not of the Internet")
	}
	return q, 0, nil
}

// readOptions looks for EDNS. What else a question carries is skipped.
func (q *query) readOptions(p *dnsmessage.Parser) error {
	if err := p.SkipAllAnswers(); err != nil {
		return err
	}
	if err := p.SkipAllAuthorities(); err != nil {
		return err
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Type == dnsmessage.TypeOPT {
			q.edns = true
			q.size = min(max(int(h.Class), plainSize), largestUDP)
		}
		if err := p.SkipAdditional(); err != nil {
			return err
		}
	}
}

// reply is what is answered.
type reply struct {
	code      dnsmessage.RCode
	answers   []dnsmessage.Resource
	authority []dnsmessage.Resource
}

// pack writes an answer. One that is larger than limit is empty and says that it is truncated, so that it is asked for over TCP.
func (q *query) pack(r reply, limit int) []byte {
	msg := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: q.header.ID, Response: true, RecursionDesired: q.header.RecursionDesired, RecursionAvailable: true, RCode: r.code,
		},
		Answers: r.answers, Authorities: r.authority,
	}
	if q.question.Name.Length > 0 {
		msg.Questions = []dnsmessage.Question{q.question}
	}
	if q.edns {
		var h dnsmessage.ResourceHeader
		if h.SetEDNS0(ednsSize, 0, false) == nil {
			msg.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
		}
	}
	out, err := msg.Pack()
	if err != nil {
		msg.Header.RCode, msg.Answers, msg.Authorities = dnsmessage.RCodeServerFailure, nil, nil
		out, _ = msg.Pack()
	}
	if len(out) > limit {
		msg.Header.Truncated, msg.Answers, msg.Authorities = true, nil, nil
		out, _ = msg.Pack()
	}
	return out
}

// question writes a question for an upstream.
func question(id uint16, name dnsmessage.Name, typ dnsmessage.Type, edns bool) ([]byte, error) {
	msg := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: typ, Class: dnsmessage.ClassINET}},
	}
	if edns {
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(ednsSize, 0, false); err != nil {
			return nil, err
		}
		msg.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	}
	return msg.Pack()
}
