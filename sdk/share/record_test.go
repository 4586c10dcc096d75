package share

import "testing"

func TestRecordsRoundTrip(t *testing.T) {
	for text, want := range map[string]Record{
		"":                      {},
		"u0 g0":                 {Has: HasUID | HasGID},
		"u1000 m2048":           {Has: HasUID | HasBits, UID: 1000, Bits: 0o4000},
		"u0 p292":               {Has: HasUID | HasPerm, Perm: 0o444},
		"k8192 r259":            {Has: HasKind, Kind: 0o020000, Rdev: 259},
		"i18446744073709551615": {Has: HasIno, Ino: 1<<64 - 1},
		"w":                     {Has: Whiteout},
		"u5 i7 o":               {Has: HasUID | HasIno | Opaque, UID: 5, Ino: 7},
	} {
		if got := string(want.Encode()); got != text {
			t.Errorf("%+v is written %q, want %q", want, got, text)
		}
		got, err := ParseRecord([]byte(text))
		if err != nil || got != want {
			t.Errorf("%q is read as %+v, %v", text, got, err)
		}
	}
}

func TestRecordsThatMakeNoSense(t *testing.T) {
	for _, text := range []string{"x", "u", "u-1", "u4294967295", "m4096", "p512", "k32768", "k4096 r4294967296", "ww", "u0,g0"} {
		if r, err := ParseRecord([]byte(text)); err == nil {
			t.Errorf("%q is read as %+v", text, r)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte("u0 g0 m2048 p0 k8192 r259 i5 w o"))
	f.Add([]byte("u99999999999999999999"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRecord(text)
		if err != nil {
			return
		}
		if again, err := ParseRecord(r.Encode()); err != nil || again != r {
			t.Errorf("%q becomes %+v and then %+v, %v", text, r, again, err)
		}
	})
}
