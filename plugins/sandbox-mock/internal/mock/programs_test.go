package mock

import (
	"testing"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// No line here may hurt a host: somebody will run them on one, to compare.

// commands are lines of shell with their output, errors after output, as a busybox gives it.
var commands = []struct{ script, want string }{
	{`printf 'c\nb\na\n' | sort`, "a\nb\nc\n"},
	{`printf '10\n9\n100\n' | sort -n`, "9\n10\n100\n"},
	{`printf '10\n9\n100\n' | sort -rn | head -n 1`, "100\n"},
	{`printf 'b 2\na 3\nc 1\n' | sort -k2`, "c 1\nb 2\na 3\n"},
	{`printf 'a:3\nb:1\n' | sort -t: -k2 -n`, "b:1\na:3\n"},
	{`printf 'a\na\nb\na\n' | sort -u`, "a\nb\n"},
	{`printf 'a\na\nb\n' | uniq -c | tr -s ' '`, " 2 a\n 1 b\n"},
	{`printf 'a\na\nb\n' | uniq -d`, "a\n"},
	{`echo a:b:c:d | cut -d: -f2,4`, "b:d\n"},
	{`echo a:b:c:d | cut -d: -f2-`, "b:c:d\n"},
	{`echo abcdef | cut -c2-4`, "bcd\n"},
	{`echo hello | tr a-y b-z`, "ifmmp\n"},
	{`echo hello | tr -d l`, "heo\n"},
	{`echo aabbcc | tr -s ab`, "abcc\n"},
	{`echo 'Hello World' | tr '[:upper:]' '[:lower:]'`, "hello world\n"},
	{`echo 'a1b2' | tr -cd 0-9`, "12"},
	{`seq 3`, "1\n2\n3\n"},
	{`seq 5 -2 1`, "5\n3\n1\n"},
	{`seq 10 | head -n 2`, "1\n2\n"},
	{`seq 10 | tail -n 2`, "9\n10\n"},
	{`seq 10 | tail -n +9`, "9\n10\n"},
	{`printf abcdef | head -c 3`, "abc"},
	{`printf abcdef | tail -c 2`, "ef"},
	{`printf 'one two\nthree\n' | wc -l`, "2\n"},
	{`printf 'one two\nthree\n' | wc -w`, "3\n"},
	{`printf 'one two\nthree\n' | wc -c`, "14\n"},
	{`printf 'apple\nbanana\n' | grep an`, "banana\n"},
	{`printf 'apple\nbanana\n' | grep -v an`, "apple\n"},
	{`printf 'apple\nbanana\n' | grep -c a`, "2\n"},
	{`printf 'apple\nbanana\n' | grep -n b`, "2:banana\n"},
	{`printf 'aXb\na+b\n' | grep 'a+b'`, "a+b\n"},
	{`printf 'aab\nb\n' | grep -E 'a+b'`, "aab\n"},
	{`printf 'a.b\naxb\n' | grep -F a.b`, "a.b\n"},
	{`printf 'Ab\n' | grep -i aB; echo $?`, "Ab\n0\n"},
	{`echo x | grep -q y; echo $?`, "1\n"},
	{`printf 'foo12\n' | grep -o '[0-9]*'`, "12\n"},
	{`seq 9 | grep -A1 -B1 5`, "4\n5\n6\n"},
	{`mkdir g; echo hit > g/a; echo miss > g/b; grep -r hit g; grep -rl hit g; rm -r g`, "g/a:hit\ng/a\n"},
	{`echo hello | sed s/l/L/`, "heLlo\n"},
	{`echo hello | sed s/l/L/g`, "heLLo\n"},
	{`echo hello | sed s/l/L/2`, "helLo\n"},
	{`echo 'a b' | sed 's/\(.\) \(.\)/\2 \1/'`, "b a\n"},
	{`echo 'a b' | sed -E 's/(.) (.)/\2 \1/'`, "b a\n"},
	{`echo abc | sed 's/b/[&]/'`, "a[b]c\n"},
	{`echo /usr/bin | sed 's|/|.|g'`, ".usr.bin\n"},
	{`seq 5 | sed -n 2,3p`, "2\n3\n"},
	{`seq 5 | sed 2d`, "1\n3\n4\n5\n"},
	{`seq 5 | sed '$d'`, "1\n2\n3\n4\n"},
	{`seq 5 | sed -n '/2/,/4/p'`, "2\n3\n4\n"},
	{`seq 5 | sed '2,4!d'`, "2\n3\n4\n"},
	{`seq 5 | sed 2q`, "1\n2\n"},
	{`seq 2 | sed -e s/1/one/ -e s/2/two/`, "one\ntwo\n"},
	{`echo a > e; sed -i s/a/b/ e; cat e; rm e`, "b\n"},
	{`echo abc | sed y/abc/xyz/`, "xyz\n"},
	{`mkdir d; touch d/b d/a; ls d; rm -r d`, "a\nb\n"},
	{`echo x > m; mv m n; cat n; cp n o; cat o; rm n o; ls`, "x\nx\n"},
	{`mkdir -p t/u; echo 1 > t/u/f; cp -r t v; cat v/u/f; rm -rf t v`, "1\n"},
	{`mkdir q; rmdir q; test -d q; echo $?`, "1\n"},
	{`touch p; chmod 600 p; stat -c %a p; chmod u+x,g=r p; stat -c %a p; rm p`, "600\n740\n"},
	{`echo x > f; ln -s f l; readlink l; cat l; rm f; cat l 2>/dev/null; echo $?; rm l`, "f\nx\n1\n"},
	{`echo x > f; ln f h; rm f; cat h; rm h`, "x\n"},
	{`basename /a/b.txt .txt; dirname /a/b.txt`, "b\n/a\n"},
	{`mkdir r; cd r; ln -s /tmp s; realpath s; cd ..; rm -r r`, "/tmp\n"},
	{`f=$(mktemp); test -f $f && echo yes; rm $f`, "yes\n"},
	{`mkdir -p k/l; touch k/a.txt k/l/b.txt k/c; find k -name '*.txt' | sort; rm -r k`, "k/a.txt\nk/l/b.txt\n"},
	{`mkdir -p k/l; touch k/a; find k -type d | sort; find k -type f -delete; find k -type f; rm -r k`, "k\nk/l\n"},
	{`touch a1; find . -name a1 -exec echo found {} \;; rm a1`, "found ./a1\n"},
	{`printf 'a b\nc\n' | xargs echo`, "a b c\n"},
	{`printf '1\n2\n' | xargs -n 1 echo n`, "n 1\nn 2\n"},
	{`printf '1\n2\n' | xargs -I{} echo '<{}>'`, "<1>\n<2>\n"},
	{`echo hi | tee copy; cat copy; rm copy`, "hi\nhi\n"},
	{`echo hi | base64; echo aGkK | base64 -d`, "aGkK\nhi\n"},
	{`printf abc | sha256sum`, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -\n"},
	{`printf abc | md5sum`, "900150983cd24fb0d6963f7d28e17f72  -\n"},
	{`echo 1 > x; echo 1 > y; diff x y; echo $?; echo 2 > y; diff x y > /dev/null; echo $?; rm x y`, "0\n1\n"},
	{`dd if=/dev/zero bs=4 count=2 2>/dev/null | wc -c`, "8\n"},
	{`printf '%d %s %x %05.1f|%-4s|\n' 7 a 255 1.25 z`, "7 a ff 001.2|z   |\n"},
	{`printf '%s\n' a b`, "a\nb\n"},
	{`printf '\101\x42%%\n'`, "AB%\n"},
	{`echo -n x; echo -e 'a\tb'`, "xa\tb\n"},
	{`env -i A=1 env`, "A=1\n"},
	{`A=1 sh -c 'echo $A'`, "1\n"},
	{`date -d @0 +%Y-%m-%d`, "1970-01-01\n"},
	{`expr 2 + 3; expr abc : 'a\(.\)'`, "5\nb\n"},
	{`timeout 0.1 sleep 100; test $? -ne 0 && echo ended`, "ended\n"},
	{`which sh`, "/usr/bin/sh\n"},
	{`command -v cat >/dev/null && echo yes; command -v nosuch || echo no`, "yes\nno\n"},
	{`f() { :; }; command -v f`, "f\n"},
	{`cat nosuch; echo $?`, "1\ncat: nosuch: No such file or directory\n"},
	{`echo x > /etc/not-allowed; echo $?`, "1\nopen /etc/not-allowed: permission denied\n"},
	{`cp /bin/echo /tmp/mine; /tmp/mine hello; rm /tmp/mine`, "hello\n"},
	{`printf '#!/bin/sh\necho $1\n' > s; chmod +x s; ./s arg; sh s other; bash s third; rm s`, "arg\nother\nthird\n"},
	{`echo 'echo sourced $X' > lib; X=1; . ./lib; rm lib`, "sourced 1\n"},
	{`while read a b; do echo "$b $a"; done <<end` + "\n1 2\n3 4\nend", "2 1\n4 3\n"},
	{`sleep 100 & p=$!; kill -9 $p; wait $p; echo $?`, "137\n"},
	{`(exit 3) & wait $!; echo $?`, "3\n"},
	{`{ for i in 3 1 2; do (sleep 0.01; echo $i) & done; wait; } | sort`, "1\n2\n3\n"},
	{`trap 'echo bye' EXIT; echo hi`, "hi\nbye\n"},
	{`set -o pipefail; false | true; echo $?`, "1\n"},
	{`echo 'echo from stdin' | sh`, "from stdin\n"},
	{`sh -c 'echo $0 $1' name arg`, "name arg\n"},
	{`a=(1 2 3); echo ${a[1]} ${#a[@]}`, "2 3\n"},
	{`x=hello; echo ${x%lo} ${x#he} ${x/l/L} ${#x}`, "hel llo heLlo 5\n"},
	{`echo $((7 / 2)) $((2 ** 8))`, "3 256\n"},
	{`echo out 2>/dev/null >&2; echo end`, "end\n"},
}

func TestCommands(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{})
	for _, c := range commands {
		if got := sh(t, s, c.script); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.script, got, c.want)
		}
	}
}

func TestClaudeStandIn(t *testing.T) {
	s := create(t, NewProvider(), sandbox.Spec{})
	const run = "ANTHROPIC_API_KEY=x CLAUDE_STAND_IN=tools claude-stand-in -p --output-format stream-json --verbose --model m 'do it'"
	got := sh(t, s, "cd /tmp && "+run+" | tail -n 1 | grep -o '\"result\":\"[^\"]*\"'; cat stand-in.txt; rm stand-in.txt")
	if want := "\"result\":\"The file says found: Linux 1000 /tmp\"\nfound:\nLinux\n1000\n/tmp\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
