package event

import "testing"

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain é\n\tx":                         "plain é\n\tx",
		"\x1b[31mred\x1b[0m":                   "red",
		"\x1b]0;title\x07shown\x1b]8;;u\x1b\\": "shown",
		"\x1bMup":                              "up",
		"lone \x1b":                            "lone \uFFFD",
		"a\r\nb\rc":                            "a\nb\nc",
		"nul\x00 bell\x07 c1\u009b":            "nul\uFFFD bell\uFFFD c1\uFFFD",
		"bad\xff\xfebytes":                     "bad\uFFFDbytes",
		"\x1b\xff[31m":                         "\uFFFD\uFFFD[31m",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31m\x1b]x\xff")
	f.Fuzz(func(t *testing.T, s string) {
		once := Clean(s)
		if again := Clean(once); again != once {
			t.Errorf("%q is cleaned to %q, and that to %q", s, once, again)
		}
	})
}
