package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds on syntax. Parser and evaluator recurse once per nested bracket and once per operator of a chain; a stack that
// overflows cannot be recovered from. A number's exponent is what it costs to print.
const (
	maxNesting   = 100
	maxOperators = 20_000
	maxExponent  = 400
)

// boundNative checks native syntax before it is parsed.
func boundNative(src []byte, name string) *hcl.Diagnostic {
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	return boundTokens(tokens)
}

// boundTemplate checks a template before it is parsed.
func boundTemplate(src []byte, name string) *hcl.Diagnostic {
	tokens, _ := hclsyntax.LexTemplate(src, name, hcl.InitialPos)
	return boundTokens(tokens)
}

func boundTokens(tokens hclsyntax.Tokens) *hcl.Diagnostic {
	depth, operators := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			depth--
		case hclsyntax.TokenNumberLit, hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit: // a string may become a number
			if hugeNumber(string(t.Bytes)) {
				return at(t.Range, "Number out of range", "The exponent of a number may be at most %d.", maxExponent)
			}
		}
		if isOperator(t.Type) {
			operators++
		}
		if depth > maxNesting {
			return at(t.Range, "Nested too deeply", "Brackets and templates may be nested %d deep.", maxNesting)
		}
		if operators > maxOperators {
			return at(t.Range, "Too many operators", "A file may hold %d operators.", maxOperators)
		}
	}
	return nil
}

// isOperator tells whether a token can chain expressions without a bracket that closes. An opening square bracket is counted
// since x[a][b] chains too, and a template directive since %{ if } nests until %{ endif }.
func isOperator(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPercent,
		hclsyntax.TokenBang, hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenQuestion, hclsyntax.TokenEqualOp,
		hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenGreaterThan,
		hclsyntax.TokenGreaterThanEq, hclsyntax.TokenOBrack, hclsyntax.TokenTemplateControl:
		return true
	}
	return false
}

var scientific = regexp.MustCompile(`^\s*[+-]?[0-9.]+[eEpP]([+-]?[0-9]+)\s*$`)

// hugeNumber tells whether a literal is a number whose exponent is over the limit.
func hugeNumber(lit string) bool {
	m := scientific.FindStringSubmatch(lit)
	if m == nil {
		return false
	}
	n, err := strconv.Atoi(m[1])
	return err != nil || n > maxExponent || n < -maxExponent
}

// boundJSON checks JSON syntax, and the templates in its strings, before it is parsed. Documents that are not JSON are left to
// the parser, whose messages are better.
func boundJSON(src []byte, name string) *hcl.Diagnostic {
	start := hcl.Range{Filename: name, Start: hcl.InitialPos, End: hcl.InitialPos}
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.UseNumber()
	depth := 0
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return nil
		}
		switch tok := tok.(type) {
		case json.Delim:
			if tok == '{' || tok == '[' {
				depth++
			} else {
				depth--
			}
			if depth > maxNesting {
				return at(start, "Nested too deeply", "Arrays and objects may be nested %d deep.", maxNesting)
			}
		case json.Number:
			if hugeNumber(tok.String()) {
				return at(start, "Number out of range", "The exponent of a number may be at most %d.", maxExponent)
			}
		case string:
			if !strings.Contains(tok, "{") {
				continue
			}
			if diag := boundTemplate([]byte(tok), name); diag != nil {
				diag.Subject = &start
				diag.Detail += fmt.Sprintf(" It is in the string that starts with %.40q.", tok)
				return diag
			}
		}
	}
}
