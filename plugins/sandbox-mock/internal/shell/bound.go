package shell

import "mvdan.cc/sh/v3/syntax"

// freeTerms is how many variables a word that is not kept may name without being asked for: it then is hardly more than what the
// shell holds already.
const freeTerms = 1

// bound puts a hook before each word of a command that may come to much, see room.
func (r *rewriter) bound(st *syntax.Stmt) {
	b := &bounder{rewriter: r, first: "1", stmt: st}
	syntax.Walk(st, b.visit)
	if b.substitutions > maxSubstitutions {
		r.err = errSubstitutions
	}
}

// bounder walks the words of one command, without those of commands within it.
type bounder struct {
	*rewriter
	stmt          *syntax.Stmt
	first         string // "1" until a word was bounded
	substitutions int
}

func (b *bounder) visit(node syntax.Node) bool {
	switch n := node.(type) {
	case *syntax.Stmt:
		return n == b.stmt
	case *syntax.CmdSubst:
		if !b.keep[n] {
			b.substitutions++
		}
		return false
	case *syntax.Assign:
		b.assign(n)
		return false
	case *syntax.WordIter:
		for _, w := range n.Items {
			b.word(w, true, nil)
		}
		return false
	case *syntax.Redirect:
		document := n.Op == syntax.WordHdoc || n.Op == syntax.Hdoc || n.Op == syntax.DashHdoc
		b.word(n.Word, document, nil)
		b.word(n.Hdoc, true, nil)
		return false
	case *syntax.Word:
		b.word(n, false, nil)
		return false
	}
	return true
}

func (b *bounder) assign(n *syntax.Assign) {
	// What an index expands to is asked for with the value: a quote at its beginning has a meaning.
	var always cost
	if n.Append && n.Name != nil {
		always = cost{{n.Name.Value}}
	}
	if n.Index != nil {
		more, _ := estimate(n.Index)
		always = append(append(always, nothing), more...)
		if n.Value == nil && !n.Naked {
			n.Value = &syntax.Word{}
		}
	}
	b.word(n.Value, true, always)
	if n.Array == nil {
		return
	}
	for _, e := range n.Array.Elems {
		if e.Index != nil {
			more, _ := estimate(e.Index)
			always = append(always, more...)
		}
		b.word(e.Value, true, always)
		always = nil
	}
}

// nothing is a term that costs nothing, for what is asked for because there may be very many of it.
var nothing = []string{"0"}

// word bounds a word. kept says that what it comes to stays in the shell, so that it may grow by and by.
func (b *bounder) word(w *syntax.Word, kept bool, always cost) {
	if w == nil {
		return
	}
	syntax.Walk(w, func(node syntax.Node) bool {
		c, is := node.(*syntax.CmdSubst)
		if is && !b.keep[c] {
			b.substitutions++
			if kept {
				always = append(always, nothing)
			}
		}
		return !is
	})
	formula, assigns := estimate(w)
	if len(always) == 0 && !assigns && !(kept && len(formula) > 0) && len(formula) <= freeTerms && !formula.multiplies() {
		return
	}
	formula = append(formula, always...)
	var parameters []syntax.WordPart
	for _, t := range formula {
		for _, factor := range t {
			if factor == positional {
				parameters = []syntax.WordPart{&syntax.DblQuoted{Parts: []syntax.WordPart{&syntax.ParamExp{Short: true, Param: lit("*")}}}}
			}
		}
	}
	h := b.hook("room/"+b.first+"/"+formula.String()+"/", parameters...)
	b.first = "0"
	at := 0
	if l, ok := firstPart(w).(*syntax.Lit); ok && len(l.Value) > 0 && l.Value[0] == '~' {
		at = 1 // a tilde has a meaning only at the beginning
	}
	parts := append([]syntax.WordPart(nil), w.Parts[:at]...)
	w.Parts = append(append(parts, h), w.Parts[at:]...)
}

func firstPart(w *syntax.Word) syntax.WordPart {
	if len(w.Parts) == 0 {
		return nil
	}
	return w.Parts[0]
}
