package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
)

// Exec carries out one attempt, counted from 1, of a stage. results holds exactly those of the stages that it needs. It must
// return soon after the end of ctx.
type Exec func(ctx context.Context, stage *plan.Stage, attempt int, results plan.Results) (plan.Result, error)

// Options says how stages are executed.
type Options struct {
	MaxParallel int   // attempts at once; 0 means unlimited
	Clock       Clock // nil means the wall clock
	// Retryable tells whether a failure is worth another attempt; nil means each is. The end of the context never is.
	Retryable func(error) bool
	// Retrying, Skipped and Finished are called from one goroutine, the one that called Run. Each may be nil.
	Retrying func(stage *plan.Stage, attempt int, delay time.Duration, err error) // attempt is the one to come
	Skipped  func(stage *plan.Stage, because string)                              // because is the stage that did not succeed
	Finished func(stage *plan.Stage, o Outcome)                                   // for stages that were started
}

// Outcome is what became of a stage.
type Outcome struct {
	Status   event.Status
	Result   plan.Result
	Err      error  // of the last attempt
	Because  string // skipped: the stage that did not succeed
	Attempts int
}

// Outcomes holds one outcome for each stage, by ID.
type Outcomes map[string]Outcome

// TimeoutError says that an attempt took longer than its stage allows.
type TimeoutError struct{ Limit time.Duration }

func (e *TimeoutError) Error() string { return fmt.Sprintf("the stage took longer than %v", e.Limit) }

// Run executes the stages and returns an outcome for each of them. The error is about the graph itself, and then nothing ran.
func Run(ctx context.Context, stages []*plan.Stage, exec Exec, opt Options) (Outcomes, error) {
	if err := Check(stages); err != nil {
		return nil, err
	}
	if opt.Clock == nil {
		opt.Clock = wallClock{}
	}
	s := &scheduler{
		opt: opt, exec: exec, stages: stages, outcomes: Outcomes{}, attempts: map[string]int{}, busy: map[string]bool{},
		ended: make(chan attempt), ripe: make(chan string),
	}
	s.run(ctx)
	return s.outcomes, nil
}

// Check finds stages with one ID, needs that do not exist, and cycles.
func Check(stages []*plan.Stage) error {
	byID := map[string]*plan.Stage{}
	for _, s := range stages {
		if byID[s.ID()] != nil {
			return fmt.Errorf("two stages are called %s", s.ID())
		}
		byID[s.ID()] = s
	}
	const visiting, visited = 1, 2
	state := map[string]int{}
	var visit func(s *plan.Stage) error
	visit = func(s *plan.Stage) error {
		state[s.ID()] = visiting
		for _, need := range s.Needs {
			switch {
			case byID[need] == nil:
				return fmt.Errorf("stage %s needs %s, which does not exist", s.ID(), need)
			case state[need] == visiting:
				return fmt.Errorf("stage %s needs %s, which waits for %s", s.ID(), need, s.ID())
			case state[need] == visited:
				continue
			}
			if err := visit(byID[need]); err != nil {
				return err
			}
		}
		state[s.ID()] = visited
		return nil
	}
	for _, s := range stages {
		if state[s.ID()] == visited {
			continue
		}
		if err := visit(s); err != nil {
			return err
		}
	}
	return nil
}

// scheduler is the state of one execution. Only the goroutine of Run touches it; attempts and timers report over channels.
type scheduler struct {
	opt      Options
	exec     Exec
	stages   []*plan.Stage
	outcomes Outcomes
	attempts map[string]int  // started so far
	busy     map[string]bool // running or waiting for the next attempt
	running  int
	waiting  int
	ended    chan attempt
	ripe     chan string // stages whose backoff is over
}

// attempt is one that has ended.
type attempt struct {
	stage  *plan.Stage
	result plan.Result
	err    error
}

func (s *scheduler) run(ctx context.Context) {
	for {
		if ctx.Err() == nil {
			s.skip()
			s.start(ctx)
		}
		if s.running+s.waiting == 0 {
			break
		}
		select {
		case a := <-s.ended:
			s.running--
			s.judge(ctx, a)
		case id := <-s.ripe:
			s.waiting--
			if s.busy[id] = false; ctx.Err() != nil {
				s.finish(id, Outcome{Status: event.Cancelled, Err: context.Cause(ctx), Attempts: s.attempts[id]})
			}
		}
	}
	for _, st := range s.stages {
		if _, done := s.outcomes[st.ID()]; done {
			continue
		}
		o := Outcome{Status: event.Cancelled, Err: context.Cause(ctx), Attempts: s.attempts[st.ID()]}
		if s.outcomes[st.ID()] = o; o.Attempts > 0 && s.opt.Finished != nil {
			s.opt.Finished(st, o)
		}
	}
}

// skip marks stages that can never run. One pass is not enough when stages are not in the order of their needs.
func (s *scheduler) skip() {
	for again := true; again; {
		again = false
		for _, st := range s.stages {
			if _, done := s.outcomes[st.ID()]; done || s.busy[st.ID()] {
				continue
			}
			for _, need := range st.Needs {
				if o, done := s.outcomes[need]; done && o.Status != event.Succeeded {
					s.outcomes[st.ID()] = Outcome{Status: event.Skipped, Because: need}
					if s.opt.Skipped != nil {
						s.opt.Skipped(st, need)
					}
					again = true
					break
				}
			}
		}
	}
}

// start starts what is ready, in the order of declaration.
func (s *scheduler) start(ctx context.Context) {
	for _, st := range s.stages {
		if s.opt.MaxParallel > 0 && s.running >= s.opt.MaxParallel {
			return
		}
		results, ready := s.ready(st)
		if !ready {
			continue
		}
		s.attempts[st.ID()]++
		s.busy[st.ID()] = true
		s.running++
		go func(n int) {
			result, err := s.try(ctx, st, n, results)
			s.ended <- attempt{st, result, err}
		}(s.attempts[st.ID()])
	}
}

// ready tells whether a stage can run now, and over which results.
func (s *scheduler) ready(st *plan.Stage) (plan.Results, bool) {
	if _, done := s.outcomes[st.ID()]; done || s.busy[st.ID()] {
		return nil, false
	}
	results := plan.Results{}
	for _, need := range st.Needs {
		o, done := s.outcomes[need]
		if !done || o.Status != event.Succeeded {
			return nil, false
		}
		results[need] = o.Result
	}
	return results, true
}

// try runs one attempt under the stage's time limit.
func (s *scheduler) try(ctx context.Context, st *plan.Stage, n int, results plan.Results) (plan.Result, error) {
	if st.Timeout <= 0 {
		return s.exec(ctx, st, n, results)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := s.opt.Clock.AfterFunc(st.Timeout, func() { cancel(&TimeoutError{Limit: st.Timeout}) })
	defer func() { stop(); cancel(nil) }()
	result, err := s.exec(ctx, st, n, maps.Clone(results))
	var late *TimeoutError
	if err != nil && errors.As(context.Cause(ctx), &late) {
		err = late
	}
	return result, err
}

// judge decides what an attempt means: success, another attempt, or the end.
func (s *scheduler) judge(ctx context.Context, a attempt) {
	id := a.stage.ID()
	n := s.attempts[id]
	o := Outcome{Result: a.result, Err: a.err, Attempts: n}
	switch {
	case a.err == nil:
		o.Status = event.Succeeded
	case ctx.Err() != nil:
		o.Status = event.Cancelled
	case n < a.stage.Retry.Attempts && (s.opt.Retryable == nil || s.opt.Retryable(a.err)):
		s.wait(ctx, a, n)
		return
	default:
		o.Status = event.Failed
	}
	s.busy[id] = false
	s.finish(id, o)
}

// wait lets the stage rest until its next attempt.
func (s *scheduler) wait(ctx context.Context, a attempt, n int) {
	delay := backoff(a.stage.Retry.Backoff, n)
	if s.opt.Retrying != nil {
		s.opt.Retrying(a.stage, n+1, delay, a.err)
	}
	if delay == 0 {
		s.busy[a.stage.ID()] = false
		return
	}
	s.waiting++
	over := make(chan struct{})
	stop := s.opt.Clock.AfterFunc(delay, func() { close(over) })
	go func() {
		defer stop()
		select {
		case <-over:
		case <-ctx.Done():
		}
		s.ripe <- a.stage.ID()
	}()
}

// maxBackoff bounds the delay between two attempts.
const maxBackoff = time.Hour

// backoff is the delay after the n-th attempt: first, doubled each time.
func backoff(first time.Duration, n int) time.Duration {
	delay := first
	for ; n > 1 && delay < maxBackoff; n-- {
		delay *= 2
	}
	return max(min(delay, maxBackoff), 0)
}

func (s *scheduler) finish(id string, o Outcome) {
	s.outcomes[id] = o
	if s.opt.Finished == nil {
		return
	}
	for _, st := range s.stages {
		if st.ID() == id {
			s.opt.Finished(st, o)
		}
	}
}
