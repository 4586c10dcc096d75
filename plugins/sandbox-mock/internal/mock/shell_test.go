package mock

import (
	"context"
	"runtime"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// rewritten are lines of shell that scripts are rewritten around, with what a shell gives: output, then errors.
var rewritten = []struct{ script, want string }{
	// $? goes into a subshell and a pipeline, and comes out of them.
	{`false; (echo $?); false; echo $? | cat; (exit 4); echo $?; (exit 5) | cat; echo $?`, "1\n1\n4\n0\n"},
	{`false; echo "$? $? $?"; x=$(exit 3); echo $?; x=$x$x; echo $?; false; y=$x$?; echo $y`, "1 1 1\n3\n0\n1\n"},
	{`(false) || echo or; (true) && echo and; ! (true); echo $?; if (false); then echo then; else echo else; fi`, "or\nand\n1\nelse\n"},
	{`set -e; (false) || echo caught; false | true; echo on; (false; echo no); echo no`, "caught\non\n"},
	{`set -e; x=$(false; echo inside) || true; echo $x; (set +e; false; echo here)`, "\nhere\n"},
	{`f() { (exit 3); echo $?; }; f; (echo a; exit 2; echo b); echo $?`, "3\na\n2\n"},
	{`for i in 1 2 3; do (test $i = 2) && break; echo $i; done; (cd /; x=1); echo $x; pwd`, "1\n\n/workspace\n"},
	{`set -x; x=1; y=$x$x; (echo $y); echo ${y//1/2}; set +x`, "11\n22\n+ x=1\n+ y=11\n+ echo 11\n+ echo 22\n+ set +x\n"},

	// Jobs.
	{`(exit 3) & wait $!; echo $?; sh -c 'exit 4' & wait $!; echo $?; { exit 5; } & wait $!; echo $?`, "3\n4\n5\n"},
	{`sleep 1000 & kill $!; wait $!; echo $?`, "143\n"},
	{`a() { echo $1; }; for i in 1 2; do a $i & wait; done; a 3 & a=$!; wait $a; test -n "$a" && echo pid`, "1\n2\n3\npid\n"},
	{`x=$(echo a & wait); echo $x; (echo b & wait) | cat`, "a\nb\n"},
	{`kill -0 $$ && echo alive; kill 99999; echo $?`, "alive\n1\nkill: (99999) - No such process\n"},

	// Words keep their meaning around what is put before them.
	{`x=a; y="$x $x"; z=$x$x; w='$x'$x; v=~/$x$x; echo "$y" $z $w $v`, "a a aa $xa /home/agent/aa\n"},
	{`a=(1 "$((1+1))" 3); a+=(4); a[7]=5; a[0]=${a[0]}x; echo ${a[@]} ${#a[@]}; declare -A m; m[k]=1; m["a b"]=2; echo ${m["a b"]}${m[k]}`, "1x 2 3 4 5 5\n21\n"},
	{`x='a b'; for i in $x$x "$x$x"; do echo "<$i>"; done; set -- $x$x; echo $#`, "<a>\n<ba>\n<b>\n<a ba b>\n3\n"},
	{`x=a; cat <<end` + "\n$x$x `echo b`\n\t$x\nend", "aa b\n\ta\n"},
	{`x=a; cat <<-end` + "\n\t\t$x$x\n\tend", "aa\n"},
	{`x=a; cat <<'end'` + "\n$x$x\nend", "$x$x\n"},
	{`x=aba; echo ${x//a/$(echo c)} ${x/a/${x/b/-}} ${x//a/"$x$x"}; [[ $x$x == aba* ]] && echo match; case $x$x in a*a) echo case;; esac`, "cbc a-aba abaabababaaba\nmatch\ncase\n"},
	{`set -- 'a b' c; echo "$1$2" "$*$*"; x="$1-$2"; echo "$x"; f() { echo "$# $1$2"; }; f "$@"`, "a bc a b ca b c\na b-c\n2 a bc\n"},
	{`echo x > '/tmp/a b'; x=$(<'/tmp/a b'); echo $x; cd /tmp; echo $(<"a b"); n='a b'; echo "$(<"$n")"; echo y > ~/f; echo $(<~/f); rm 'a b' ~/f`, "x\nx\nx\ny\n"},
	{`x=$(<nosuch); echo "<$x>"`, "<>\nsh: open /workspace/nosuch: no such file or directory\n"},
	{`printf 'x=1\ny=$x$x\ncat <<e\n$y$y\ne\n(echo sub)\necho a | cat\necho job & wait\nfor i in $x$x; do echo $i; done\n' > lib; . ./lib; rm lib`, "1111\nsub\na\njob\n11\n"},
	{`eval 'x=1; y=$x$x; (echo $y) | cat; cat <<e` + "\n$y$y\ne\n'", "11\n1111\n"},
	{`trap 'x=$x$x; (echo $x)' EXIT; x=b`, "bb\n"},

	// Builtins of ours, and functions that take their names.
	{`echo() { printf '<%s>\n' "$1"; }; echo a; command echo b; builtin echo c; unset -f echo; echo d`, "<a>\nb\nc\nd\n"},
	{`printf 'a b\\\n c\nlast' | { read x y; echo "$x|$y"; read -r z; echo $? "$z"; read w; echo $? "$w"; }`, "a|b c\n1 last\n1 \n"},
	{`printf 'a\\b\n' | { read -r x; echo "$x"; }; IFS=: read a b <<< 1:2; echo $b$a; echo l | (read; echo $REPLY)`, "a\\b\n21\nl\n"},
	{`printf '1 2\n3 4\n' | while read a b; do echo $b$a; done; printf "it's \$x\n" | { read q; echo "$q"; }`, "21\n43\nit's $x\n"},
}

func TestRewrittenScripts(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{})
	for _, c := range rewritten {
		if got := sh(t, s, c.script); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.script, got, c.want)
		}
	}
}

// TestNothingIsLeft holds that no process outlives the command that made it, however that ended.
func TestNothingIsLeft(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{})
	machine := s.(*Sandbox).machine
	for _, script := range []string{
		"(exit 3)", "set -e; (false); true", "set -e; false | true; (false) | (false)", "f() { (return 3); }; f", "(kill $$; sleep 1000)",
		"sleep 1000 & (sleep 1000) & sleep 1000 | sleep 1000 & kill -9 $$; wait", "true & wait", "x=$(true & (true); true | true)",
		"f() { (f); }; f", "sh -c 'sleep 0.01 &'; sleep 0.1", "timeout 0.05 sh -c 'sleep 1000 & (sleep 1000)'",
	} {
		sh(t, s, script)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		for len(machine.Processes()) > 0 && ctx.Err() == nil { // what was killed ends by and by
			runtime.Gosched()
		}
		cancel()
		if left := machine.Processes(); len(left) > 0 {
			t.Errorf("%s: left %+v", script, left)
		}
	}
}
