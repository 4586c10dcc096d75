package event

import (
	"encoding/json"
	"sync"
	"testing"
)

func TestStreamNumbersWithoutGaps(t *testing.T) {
	var got []uint64
	stream := NewStream("r", SinkFunc(func(e Event) { got = append(got, e.Seq) }))
	root := stream.Root()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			scope := root.Stage("s").Child()
			for range 50 {
				scope.Emit(Text{Text: "x"})
			}
		})
	}
	wg.Wait()
	if len(got) != 1000 {
		t.Fatalf("%d events, want 1000", len(got))
	}
	for i, seq := range got {
		if seq != uint64(i+1) {
			t.Fatalf("event %d has number %d", i, seq)
		}
	}
}

func TestScopesFormATree(t *testing.T) {
	var events []Event
	root := NewStream("r", SinkFunc(func(e Event) { events = append(events, e) })).Root()
	stage := root.Stage("a")
	child := stage.Child()
	for _, s := range []Scope{root, stage, child} {
		s.Emit(Text{})
	}
	if events[0].Parent != "" || events[1].Parent != events[0].Span || events[2].Parent != events[1].Span {
		t.Errorf("spans do not form a chain: %+v", events)
	}
	if events[2].Stage != "a" {
		t.Errorf("a child lost its stage: %q", events[2].Stage)
	}
}

func TestZeroScopeDrops(t *testing.T) {
	Scope{}.Emit(Text{}) // must not panic
}

func TestJSONEnvelope(t *testing.T) {
	line, err := json.Marshal(Event{Seq: 3, Run: "r", Stage: "s", Span: "1", Data: ToolCall{ID: "c", Tool: "bash", Arguments: json.RawMessage(`{"a":1}`)}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"seq":3,"time":"0001-01-01T00:00:00Z","run":"r","stage":"s","span":"1","type":"tool_call","data":{"id":"c","tool":"bash","arguments":{"a":1}}}`
	if string(line) != want {
		t.Errorf("got  %s\nwant %s", line, want)
	}
}

func TestCostIsKnownOnlyWhenAllIs(t *testing.T) {
	known, unknown := Totals{InputTokens: 1, CostUSD: 0.5, CostKnown: true}, Totals{InputTokens: 1}
	cases := []struct {
		a, b Totals
		want bool
	}{
		{known, known, true}, {known, unknown, false}, {unknown, known, false},
		{Totals{}, known, true}, {known, Totals{}, true}, {Totals{}, unknown, false},
	}
	for _, c := range cases {
		if got := c.a.Add(c.b).CostKnown; got != c.want {
			t.Errorf("%+v + %+v: cost known = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
