package shell

import (
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Names that rewritten scripts use.
const (
	varPID   = "__voidbox_pid"  // this shell
	varPPID  = "__voidbox_ppid" // its parent
	varLast  = "__voidbox_last" // the last background job, $!
	varJobs  = "__voidbox_jobs" // "pid:name" of every job, where name is what the interpreter calls it
	varOwn   = "__voidbox_own"  // the job that a command belongs to
	callNew  = "__voidbox_new_job"
	callDone = "__voidbox_job_done"
)

var renamed = map[string]string{"$": varPID, "PPID": varPPID, "!": varLast}

// parse reads a script and rewrites it.
func parse(source, name string) (*syntax.File, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(source), name)
	if err != nil {
		return nil, err
	}
	rewrite(file)
	return file, nil
}

// rewriteText rewrites a script that the interpreter is going to parse. What does not parse is left for it to complain about.
func rewriteText(source string) string {
	file, err := parse(source, "")
	if err != nil {
		return source
	}
	var out strings.Builder
	if syntax.NewPrinter().Print(&out, file) != nil {
		return source
	}
	return out.String()
}

// rewrite replaces what would speak of the host's processes and users, and gives background jobs a process id.
func rewrite(node syntax.Node) {
	r := rewriter{keep: map[*syntax.Lit]bool{}}
	syntax.Walk(node, r.visit)
}

type rewriter struct{ keep map[*syntax.Lit]bool }

func (r *rewriter) visit(node syntax.Node) bool {
	switch n := node.(type) {
	case *syntax.File:
		n.Stmts = r.stmts(n.Stmts)
	case *syntax.Block:
		n.Stmts = r.stmts(n.Stmts)
	case *syntax.Subshell:
		n.Stmts = r.stmts(n.Stmts)
	case *syntax.CmdSubst:
		n.Stmts = r.stmts(n.Stmts)
	case *syntax.IfClause:
		n.Cond, n.Then = r.stmts(n.Cond), r.stmts(n.Then)
	case *syntax.WhileClause:
		n.Cond, n.Do = r.stmts(n.Cond), r.stmts(n.Do)
	case *syntax.ForClause:
		n.Do = r.stmts(n.Do)
	case *syntax.CaseItem:
		n.Stmts = r.stmts(n.Stmts)
	case *syntax.ParamExp:
		if name, ok := renamed[paramName(n)]; ok && !r.keep[n.Param] {
			n.Param.Value = name
			n.Short = false
		}
	case *syntax.Word:
		noUsers(n)
	case *syntax.UnaryTest:
		// The owner would be compared with the host's user. Here every file of interest has one owner.
		if n.Op == syntax.TsUsrOwn || n.Op == syntax.TsGrpOwn {
			n.Op = syntax.TsExists
		}
	}
	return true
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

// stmts replaces every "command &" by
//
//	last=$(new_job); { own=$last; (command); job_done $?; } & jobs="$jobs $last:$!"
func (r *rewriter) stmts(list []*syntax.Stmt) []*syntax.Stmt {
	var out []*syntax.Stmt
	for _, st := range list {
		if (!st.Background && !st.Disown) || st.Coprocess {
			out = append(out, st)
			continue
		}
		st.Background, st.Disown = false, false
		name := &syntax.ParamExp{Short: true, Param: lit("!")}
		r.keep[name.Param] = true
		body := &syntax.Block{Stmts: []*syntax.Stmt{
			assign(varOwn, param(varLast)),
			{Cmd: &syntax.Subshell{Stmts: []*syntax.Stmt{st}}},
			call(lit(callDone), &syntax.ParamExp{Short: true, Param: lit("?")}),
		}}
		newJob := &syntax.CmdSubst{Stmts: []*syntax.Stmt{call(lit(callNew))}}
		out = append(out,
			assign(varLast, newJob),
			&syntax.Stmt{Background: true, Cmd: body},
			assign(varJobs, &syntax.DblQuoted{Parts: []syntax.WordPart{param(varJobs), lit(" "), param(varLast), lit(":"), name}}),
		)
	}
	return out
}

func lit(s string) *syntax.Lit { return &syntax.Lit{Value: s} }

func param(name string) *syntax.ParamExp { return &syntax.ParamExp{Param: lit(name)} }

func assign(name string, value syntax.WordPart) *syntax.Stmt {
	word := &syntax.Word{Parts: []syntax.WordPart{value}}
	return &syntax.Stmt{Cmd: &syntax.CallExpr{Assigns: []*syntax.Assign{{Name: lit(name), Value: word}}}}
}

func call(parts ...syntax.WordPart) *syntax.Stmt {
	var words []*syntax.Word
	for _, part := range parts {
		words = append(words, &syntax.Word{Parts: []syntax.WordPart{part}})
	}
	return &syntax.Stmt{Cmd: &syntax.CallExpr{Args: words}}
}
