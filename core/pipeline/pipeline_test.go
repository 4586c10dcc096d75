package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// graph makes stages of lines such as "c: a b".
func graph(lines ...string) []*plan.Stage {
	var stages []*plan.Stage
	for _, line := range lines {
		name, needs, _ := strings.Cut(line, ":")
		stages = append(stages, &plan.Stage{Name: name, Needs: strings.Fields(needs)})
	}
	return stages
}

// eagerClock fires every timer at once and remembers them.
type eagerClock struct {
	mu     sync.Mutex
	delays []time.Duration
}

func (c *eagerClock) AfterFunc(d time.Duration, f func()) func() {
	c.mu.Lock()
	c.delays = append(c.delays, d)
	c.mu.Unlock()
	var done sync.WaitGroup
	done.Go(f)
	return done.Wait
}

var errBoom = errors.New("boom")

func TestResultsFlowAlongTheEdges(t *testing.T) {
	outcomes, err := Run(t.Context(), graph("a", "b: a", "c: a", "d: b c", "e"), func(_ context.Context, s *plan.Stage, n int, in plan.Results) (plan.Result, error) {
		out := s.Name + "("
		for _, need := range s.Needs {
			out += in[need].Output
		}
		if len(in) != len(s.Needs) {
			t.Errorf("%s got %d results", s.Name, len(in))
		}
		return plan.Result{Output: out + ")"}, nil
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := outcomes["d"].Result.Output; got != "d(b(a())c(a()))" {
		t.Errorf("got %s", got)
	}
	if o := outcomes["e"]; o.Status != event.Succeeded || o.Attempts != 1 {
		t.Errorf("%+v", o)
	}
}

func TestFailureSkipsWhatNeedsItAndNothingElse(t *testing.T) {
	var skipped []string
	outcomes, _ := Run(t.Context(), graph("a", "b: a", "c: b", "x", "y: x", "z: y c"), func(_ context.Context, s *plan.Stage, _ int, _ plan.Results) (plan.Result, error) {
		if s.Name == "a" {
			return plan.Result{}, errBoom
		}
		return plan.Result{}, nil
	}, Options{Skipped: func(s *plan.Stage, because string) { skipped = append(skipped, s.Name+" because of "+because) }})
	var got []string
	for _, id := range []string{"a", "b", "c", "x", "y", "z"} {
		got = append(got, id+" "+string(outcomes[id].Status))
	}
	if want := "a failed, b skipped, c skipped, x succeeded, y succeeded, z skipped"; strings.Join(got, ", ") != want {
		t.Errorf("got %v", got)
	}
	if want := []string{"b because of a", "c because of b", "z because of c"}; !reflect.DeepEqual(skipped, want) {
		t.Errorf("skipped %v", skipped)
	}
	if !errors.Is(outcomes["a"].Err, errBoom) {
		t.Errorf("error %v", outcomes["a"].Err)
	}
}

func TestRetriesBackOffAndEnd(t *testing.T) {
	stages := graph("a", "b")
	stages[0].Retry = plan.Retry{Attempts: 4, Backoff: time.Second}
	stages[1].Retry = plan.Retry{Attempts: 4}
	clock := &eagerClock{}
	var told []string
	outcomes, _ := Run(t.Context(), stages, func(_ context.Context, s *plan.Stage, n int, _ plan.Results) (plan.Result, error) {
		if s.Name == "a" && n == 4 {
			return plan.Result{Output: "at last"}, nil
		}
		return plan.Result{}, errBoom
	}, Options{
		MaxParallel: 1, Clock: clock,
		Retrying: func(s *plan.Stage, n int, d time.Duration, err error) {
			if s.Name == "a" {
				told = append(told, fmt.Sprint(n, d, err))
			}
		},
	})
	if o := outcomes["a"]; o.Status != event.Succeeded || o.Attempts != 4 || o.Result.Output != "at last" {
		t.Errorf("%+v", o)
	}
	if o := outcomes["b"]; o.Status != event.Failed || o.Attempts != 4 {
		t.Errorf("%+v", o)
	}
	if want := []string{"2 1s boom", "3 2s boom", "4 4s boom"}; !reflect.DeepEqual(told, want) {
		t.Errorf("told %q", told)
	}
}

func TestFinalErrorsAreNotRetried(t *testing.T) {
	stages := graph("a")
	stages[0].Retry.Attempts = 5
	outcomes, _ := Run(t.Context(), stages, func(context.Context, *plan.Stage, int, plan.Results) (plan.Result, error) {
		return plan.Result{}, errBoom
	}, Options{Retryable: func(err error) bool { return !errors.Is(err, errBoom) }})
	if outcomes["a"].Attempts != 1 {
		t.Errorf("%+v", outcomes["a"])
	}
}

func TestTimeoutIsPerAttempt(t *testing.T) {
	stages := graph("a")
	stages[0].Timeout, stages[0].Retry.Attempts = time.Minute, 2
	clock := &eagerClock{}
	outcomes, _ := Run(t.Context(), stages, func(ctx context.Context, _ *plan.Stage, _ int, _ plan.Results) (plan.Result, error) {
		<-ctx.Done()
		return plan.Result{}, ctx.Err()
	}, Options{Clock: clock})
	var late *TimeoutError
	if o := outcomes["a"]; !errors.As(o.Err, &late) || late.Limit != time.Minute || o.Status != event.Failed || o.Attempts != 2 {
		t.Errorf("%+v", o)
	}
	if want := []time.Duration{time.Minute, time.Minute}; !reflect.DeepEqual(clock.delays, want) {
		t.Errorf("timers %v", clock.delays)
	}
}

func TestCancelStopsRunningWaitingAndPendingStages(t *testing.T) {
	why := errors.New("ctrl-c")
	ctx, cancel := context.WithCancelCause(t.Context())
	stages := graph("running", "resting", "pending: running")
	stages[1].Retry = plan.Retry{Attempts: 2, Backoff: time.Hour}
	resting := make(chan struct{})
	outcomes, _ := Run(ctx, stages, func(ctx context.Context, s *plan.Stage, _ int, _ plan.Results) (plan.Result, error) {
		if s.Name == "resting" {
			return plan.Result{}, errBoom
		}
		<-resting
		cancel(why)
		<-ctx.Done()
		return plan.Result{}, context.Cause(ctx)
	}, Options{Retrying: func(*plan.Stage, int, time.Duration, error) { close(resting) }})
	for id, attempts := range map[string]int{"running": 1, "resting": 1, "pending": 0} {
		if o := outcomes[id]; o.Status != event.Cancelled || !errors.Is(o.Err, why) || o.Attempts != attempts {
			t.Errorf("%s: %+v", id, o)
		}
	}
}

func TestWaitingStagesHoldNoPlace(t *testing.T) {
	stages := graph("a", "b")
	stages[0].Retry = plan.Retry{Attempts: 2, Backoff: time.Hour}
	clock := &manualClock{fire: make(chan struct{})}
	outcomes, _ := Run(t.Context(), stages, func(_ context.Context, s *plan.Stage, n int, _ plan.Results) (plan.Result, error) {
		if s.Name == "b" {
			close(clock.fire) // a's second attempt comes only after b has had the one place
			return plan.Result{}, nil
		}
		if n == 1 {
			return plan.Result{}, errBoom
		}
		return plan.Result{}, nil
	}, Options{MaxParallel: 1, Clock: clock})
	if outcomes["a"].Status != event.Succeeded || outcomes["b"].Status != event.Succeeded {
		t.Errorf("%+v", outcomes)
	}
}

// manualClock fires timers when its channel is closed.
type manualClock struct{ fire chan struct{} }

func (c *manualClock) AfterFunc(_ time.Duration, f func()) func() {
	stopped := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		select {
		case <-c.fire:
			f()
		case <-stopped:
		}
	})
	return func() { close(stopped); done.Wait() }
}

func TestBadGraphsRunNothing(t *testing.T) {
	for want, stages := range map[string][]*plan.Stage{
		"two stages are called a":                    graph("a", "a"),
		"stage a needs b, which does not exist":      graph("a: b"),
		"stage c needs a, which waits for c":         graph("a: b", "b: c", "c: a"),
		"stage a needs a, which waits for a":         graph("a: a"),
		`stage a needs b["x"], which does not exist`: {{Name: "a", Needs: []string{`b["x"]`}}, {Name: "b", Each: true, Key: "y"}},
	} {
		_, err := Run(t.Context(), stages, func(context.Context, *plan.Stage, int, plan.Results) (plan.Result, error) {
			t.Error("something ran")
			return plan.Result{}, nil
		}, Options{})
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestBackoffNeverOverflows(t *testing.T) {
	for n := range 100 {
		if d := backoff(7*time.Second, n); d < 7*time.Second || d > maxBackoff {
			t.Errorf("after attempt %d: %v", n, d)
		}
	}
	if d := backoff(0, 50); d != 0 {
		t.Errorf("%v", d)
	}
}

// TestProperties runs random graphs with random failures and holds what happened against the rules in doc.go.
func TestProperties(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 1))
		stages := randomGraph(rng)
		fails := map[string]int{} // attempts that fail
		for _, s := range stages {
			s.Retry.Attempts = rng.IntN(4)
			if rng.IntN(3) == 0 {
				fails[s.ID()] = 1 + rng.IntN(4)
			}
		}
		most := rng.IntN(4)
		first := execute(t, stages, fails, most)
		checkRules(t, seed, stages, fails, first)
		if most == 1 {
			if second := execute(t, stages, fails, most); !slices.Equal(first.order, second.order) {
				t.Errorf("seed %d: two orders of one graph\n%v\n%v", seed, first.order, second.order)
			}
		}
		if t.Failed() {
			return
		}
	}
}

type execution struct {
	outcomes Outcomes
	order    []string // of starts
	most     int      // attempts that ran at once
}

// randomGraph makes up to twelve stages in random order, so that stages may stand before what they need.
func randomGraph(rng *rand.Rand) []*plan.Stage {
	var stages []*plan.Stage
	for i := range 1 + rng.IntN(12) {
		s := &plan.Stage{Name: fmt.Sprint("s", i)}
		for j := range i {
			if rng.IntN(4) == 0 {
				s.Needs = append(s.Needs, fmt.Sprint("s", j))
			}
		}
		stages = append(stages, s)
	}
	rng.Shuffle(len(stages), func(i, j int) { stages[i], stages[j] = stages[j], stages[i] })
	return stages
}

func execute(t *testing.T, stages []*plan.Stage, fails map[string]int, most int) execution {
	var mu sync.Mutex
	var e execution
	running := 0
	outcomes, err := Run(t.Context(), stages, func(_ context.Context, s *plan.Stage, n int, in plan.Results) (plan.Result, error) {
		mu.Lock()
		running++
		e.most = max(e.most, running)
		e.order = append(e.order, s.ID())
		mu.Unlock()
		defer func() { mu.Lock(); running--; mu.Unlock() }()
		for _, need := range s.Needs {
			if in[need].Output != need {
				t.Errorf("%s started before %s was done", s.ID(), need)
			}
		}
		if n <= fails[s.ID()] {
			return plan.Result{}, errBoom
		}
		return plan.Result{Output: s.ID()}, nil
	}, Options{MaxParallel: most, Clock: &eagerClock{}})
	if err != nil {
		t.Fatal(err)
	}
	if most > 0 && e.most > most {
		t.Errorf("%d attempts ran at once, at most %d may", e.most, most)
	}
	e.outcomes = outcomes
	return e
}

func checkRules(t *testing.T, seed uint64, stages []*plan.Stage, fails map[string]int, e execution) {
	if len(e.outcomes) != len(stages) {
		t.Errorf("seed %d: %d outcomes for %d stages", seed, len(e.outcomes), len(stages))
	}
	for _, s := range stages {
		o := e.outcomes[s.ID()]
		blocked := slices.ContainsFunc(s.Needs, func(need string) bool { return e.outcomes[need].Status != event.Succeeded })
		allowed := max(s.Retry.Attempts, 1)
		want, attempts := event.Succeeded, fails[s.ID()]+1
		switch {
		case blocked:
			want, attempts = event.Skipped, 0
		case fails[s.ID()] >= allowed:
			want, attempts = event.Failed, allowed
		}
		if o.Status != want || o.Attempts != attempts {
			t.Errorf("seed %d: stage %s: %s after %d attempts, want %s after %d", seed, s.ID(), o.Status, o.Attempts, want, attempts)
		}
	}
}
