package plan

import "testing"

func TestStageID(t *testing.T) {
	cases := []struct {
		stage Stage
		want  string
	}{
		{Stage{Name: "write"}, "write"},
		{Stage{Name: "quant", Key: "AAPL", Each: true}, `quant["AAPL"]`},
		{Stage{Name: "quant", Key: `a"b`, Each: true}, `quant["a\"b"]`},
		{Stage{Name: "quant", Each: true}, `quant[""]`},
	}
	for _, c := range cases {
		if got := c.stage.ID(); got != c.want {
			t.Errorf("ID() = %s, want %s", got, c.want)
		}
	}
}

func TestRedactor(t *testing.T) {
	r := NewRedactor([]Secret{{Value: "sk-1234"}, {Value: "sk-1234-long"}, {Value: "abc"}, {Value: ""}})
	cases := []struct{ in, want string }{
		{"key sk-1234.", "key (sensitive)."},
		{"key sk-1234-long.", "key (sensitive)."},
		{"abc is too short to hunt for", "abc is too short to hunt for"},
		{"nothing", "nothing"},
	}
	for _, c := range cases {
		if got := r.String(c.in); got != c.want {
			t.Errorf("String(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if got := (Redactor{}).String("sk-1234"); got != "sk-1234" {
		t.Errorf("the zero Redactor changed text: %q", got)
	}
}
