package keys_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// search looks for needles, which it is given in disguise, in every file of the guest that is younger than the key, and in the memory of
// its processes, and prints where it has found which.
const search = `
import os, stat, sys
needles = [bytes(b ^ 0x5a for b in bytes.fromhex(line)) for line in sys.stdin.read().split()]
def look(name, data):
    for i, needle in enumerate(needles):
        if needle in data:
            print("needle", i, "in", name)
for root, dirs, files in os.walk("/"):
    dirs[:] = [d for d in dirs if os.path.join(root, d) not in ("/proc", "/sys", "/dev")]
    for name in files:
        path = os.path.join(root, name)
        try:
            st = os.lstat(path)
            if stat.S_ISREG(st.st_mode) and st.st_ctime >= float(sys.argv[1]):
                look(path, open(path, "rb").read())
        except OSError:
            pass
processes = 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) == os.getpid():
        continue
    for name in ("environ", "cmdline"):
        try:
            look("/proc/%s/%s" % (pid, name), open("/proc/%s/%s" % (pid, name), "rb").read())
        except OSError:
            pass
    try:
        maps, mem = open("/proc/%s/maps" % pid).read().splitlines(), open("/proc/%s/mem" % pid, "rb", 0)
    except OSError:
        continue
    for line in maps:
        if " rw" not in line:
            continue
        start, end = (int(n, 16) for n in line.split()[0].split("-"))
        try:
            mem.seek(start)
            look("/proc/%s/mem" % pid, mem.read(end - start))
            processes += 1
        except (OSError, OverflowError, ValueError):
            pass
print("searched", processes > 0)
`

// keyIsNotThere looks for a private key in the guest, as root: as text, and as the bytes that are its secret. To see that the search
// finds what is there, it looks for something else as well.
func keyIsNotThere(t *testing.T, b *box, key string) {
	info, err := os.Stat(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	needles := []string{"planted-for-the-search", string(parsed.(*ed25519.PrivateKey).Seed()), strings.Split(string(text), "\n")[2]}
	var disguised strings.Builder
	for _, needle := range needles {
		masked := []byte(needle)
		for i := range masked {
			masked[i] ^= 0x5a
		}
		disguised.WriteString(hex.EncodeToString(masked) + "\n")
	}
	b.must("echo planted-for-the-search > /home/sandbox/planted; PLANTED=planted-for-the-search sleep 100000 > /dev/null 2>&1 &")
	cmd := b.command("exec", "-u", "root", b.name, "--", "python3", "-c", search, fmt.Sprint(info.ModTime().Unix()))
	cmd.Stdin = strings.NewReader(disguised.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("search: %v: %s", err, out)
	}
	found := string(out)
	if strings.Contains(found, "needle 1 ") || strings.Contains(found, "needle 2 ") {
		t.Errorf("the private key is in the guest:\n%s", found)
	}
	for _, want := range []string{"needle 0 in /home/sandbox/planted\n", "/environ\n", "searched True\n"} {
		if !strings.Contains(found, want) {
			t.Errorf("the search finds nothing like %q:\n%s", want, found)
		}
	}
}

// eventually waits for something that is about to happen.
func eventually(happened func() bool) bool {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if happened() {
			return true
		}
	}
	return happened()
}
