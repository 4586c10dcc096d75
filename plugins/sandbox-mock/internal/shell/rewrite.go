package shell

import (
	"errors"
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Names that rewritten scripts use.
const (
	varPID    = "__voidbox_pid"    // this shell
	varPPID   = "__voidbox_ppid"   // its parent
	varLast   = "__voidbox_last"   // the last background job, $!
	varOwn    = "__voidbox_own"    // the process that a command belongs to, see forked
	varOnce   = "__voidbox_once"   // runs a loop once, see background
	varLimits = "__voidbox_limits" // see limits
	callOwns  = "__voidbox_owns"   // see owns
	callExit  = "__voidbox_exit"   // ends with the status that is its argument
)

// maxSubstitutions bounds the command substitutions of one command: each may collect as much as a shell may hold.
const maxSubstitutions = 64

var renamed = map[string]string{"$": varPID, "PPID": varPPID, "!": varLast}

// parse reads a script and rewrites it.
func parse(source, name string) (*syntax.File, *rewriter, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(source), name)
	if err != nil {
		return nil, nil, err
	}
	r := &rewriter{keep: map[syntax.Node]bool{}}
	syntax.Walk(file, r.visit)
	return file, r, r.err
}

// rewriteText rewrites a script that the interpreter is going to parse. What does not parse is left for it to complain about.
func (s *script) rewriteText(p *Process, source string) string {
	file, r, err := parse(source, "")
	if r != nil && err != nil {
		return "/bin/echo sh: '" + err.Error() + "' >&2; exit 2"
	}
	if err != nil {
		return source
	}
	s.learn(p, r, source)
	var out strings.Builder
	if syntax.NewPrinter().Print(&out, file) != nil {
		return source
	}
	return out.String()
}

// learn notes the functions of a text: what they take, and that their names are not those of builtins any more.
func (s *script) learn(p *Process, r *rewriter, source string) {
	if len(r.functions) == 0 {
		return
	}
	s.machine.define(p, len(source))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range r.functions {
		s.functions[name] = true
	}
}

// rewriter replaces what would speak of the host's processes and users, makes processes of subshells, and puts a bound on what
// words expand to.
type rewriter struct {
	keep      map[syntax.Node]bool // made by us, to be left as it is
	functions []string             // that the script defines
	err       error
}

func (r *rewriter) visit(node syntax.Node) bool {
	if node == nil || r.keep[node] {
		return node != nil // what it holds may be the script's
	}
	switch n := node.(type) {
	case *syntax.Subshell:
		st := &syntax.Stmt{Cmd: &syntax.Subshell{Stmts: n.Stmts}}
		n.Stmts = []*syntax.Stmt{r.forked(st, r.newProcess(forkSubshell, st))}
	case *syntax.BinaryCmd:
		if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
			r.pipe(n)
		}
	case *syntax.FuncDecl:
		if n.Name != nil {
			r.functions = append(r.functions, n.Name.Value)
		}
	case *syntax.CmdSubst:
		if wholeFile(n) {
			w := n.Stmts[0].Redirs[0].Word
			*n = *hook("file/", homeForTilde(w.Parts)...)
		}
	case *syntax.Stmt:
		if n.Background || n.Disown {
			r.job(n)
		}
		r.bound(n)
	case *syntax.ParamExp:
		if name, ok := renamed[paramName(n)]; ok {
			n.Param.Value = name
			n.Short = false
		}
		r.narrow(n)
	case *syntax.Word:
		noUsers(n)
	case *syntax.UnaryTest:
		r.owner(n)
	}
	return true
}

// hook makes a call of a hook that is not rewritten in turn.
func (r *rewriter) hook(name string, more ...syntax.WordPart) *syntax.CmdSubst {
	h := hook(name, more...)
	r.keep[h], r.keep[h.Stmts[0]] = true, true
	return h
}

// pipe makes a process of the left side. The right side is run by the shell itself, or is the left side of another pipe.
func (r *rewriter) pipe(n *syntax.BinaryCmd) {
	if _, ok := n.X.Cmd.(*syntax.Subshell); ok && !n.X.Negated {
		return
	}
	n.X = r.forked(n.X, r.newProcess(forkPipe, n.X))
}

// wholeFile tells whether a command substitution is $(<file).
func wholeFile(n *syntax.CmdSubst) bool {
	if len(n.Stmts) != 1 {
		return false
	}
	st := n.Stmts[0]
	return st.Cmd == nil && !st.Negated && !st.Background && !st.Disown && len(st.Redirs) == 1 && st.Redirs[0].Op == syntax.RdrIn
}

// homeForTilde is a path whose tilde is not at the beginning of a word any more.
func homeForTilde(parts []syntax.WordPart) []syntax.WordPart {
	if l, ok := parts[0].(*syntax.Lit); ok && (l.Value == "~" || strings.HasPrefix(l.Value, "~/")) {
		return append([]syntax.WordPart{param("HOME"), lit(l.Value[1:])}, parts[1:]...)
	}
	return parts
}

// owner lets us answer who owns a file: the interpreter would compare with the host's user.
func (r *rewriter) owner(n *syntax.UnaryTest) {
	operator := map[syntax.UnTestOperator]string{syntax.TsUsrOwn: "-O", syntax.TsGrpOwn: "-G"}[n.Op]
	file, ok := n.X.(*syntax.Word)
	if operator == "" || !ok {
		return
	}
	call := &syntax.CallExpr{Args: []*syntax.Word{word(lit(callOwns)), word(lit(operator)), file}}
	n.Op, n.X = syntax.TsNempStr, word(&syntax.DblQuoted{Parts: []syntax.WordPart{&syntax.CmdSubst{Stmts: []*syntax.Stmt{{Cmd: call}}}}})
}

// narrow puts hooks around the command substitutions of a replacement.
func (r *rewriter) narrow(n *syntax.ParamExp) {
	if n.Repl == nil || n.Repl.With == nil {
		return
	}
	substitutes := false
	syntax.Walk(n.Repl.With, func(node syntax.Node) bool {
		_, is := node.(*syntax.CmdSubst)
		substitutes = substitutes || is
		return !is
	})
	if substitutes {
		parts := append([]syntax.WordPart{r.hook("narrow/+1")}, n.Repl.With.Parts...)
		n.Repl.With.Parts = append(parts, r.hook("narrow/-1"))
	}
}

var (
	tildeUser  = regexp.MustCompile(`^~[A-Za-z_]`)
	tildeBrace = regexp.MustCompile(`([{,])~`)
)

// noUsers takes away the meaning of ~user, which the interpreter would look up among the host's users. Braces can make one.
func noUsers(w *syntax.Word) {
	if len(w.Parts) == 0 {
		return
	}
	for _, part := range w.Parts {
		if l, ok := part.(*syntax.Lit); ok {
			l.Value = tildeBrace.ReplaceAllString(l.Value, `$1\~`)
		}
	}
	if l, ok := w.Parts[0].(*syntax.Lit); ok && tildeUser.MatchString(l.Value) {
		l.Value = l.Value[1:]
		w.Parts = append([]syntax.WordPart{&syntax.SglQuoted{Value: "~"}}, w.Parts...)
	}
}

func paramName(n *syntax.ParamExp) string {
	if n.Param == nil {
		return ""
	}
	return n.Param.Value
}

// job replaces a background statement, in place.
func (r *rewriter) job(st *syntax.Stmt) {
	job := *st
	replaced := r.background(&job)
	st.Cmd, st.Redirs, st.Negated, st.Background, st.Disown = replaced.Cmd, nil, false, false, false
}

var errSubstitutions = errors.New("too many command substitutions in one command")

func lit(s string) *syntax.Lit { return &syntax.Lit{Value: s} }

func param(name string) *syntax.ParamExp { return &syntax.ParamExp{Param: lit(name)} }

func word(parts ...syntax.WordPart) *syntax.Word { return &syntax.Word{Parts: parts} }
