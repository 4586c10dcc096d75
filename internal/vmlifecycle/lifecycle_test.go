package vmlifecycle

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestChangeWantsTheRightState(t *testing.T) {
	s := NewStates()
	fine := func() error { return nil }
	if err := s.Change("start", Created, Running, fine); !errors.Is(err, errdef.ErrState) || s.Get() != None {
		t.Errorf("start without a VM: %v, state %q", err, s.Get())
	}
	broken := errors.New("broken")
	if err := s.Change("create", None, Created, func() error { return broken }); !errors.Is(err, broken) || s.Get() != None {
		t.Errorf("failed change: %v, state %q", err, s.Get())
	}
	if err := s.Change("create", None, Created, fine); err != nil || s.Get() != Created {
		t.Errorf("change: %v, state %q", err, s.Get())
	}
}

func TestOneOfManyChangesWins(t *testing.T) {
	s := NewStates()
	var all sync.WaitGroup
	results := make(chan error, 16)
	for range cap(results) {
		all.Go(func() { results <- s.Change("create", None, Created, func() error { return nil }) })
	}
	all.Wait()
	close(results)
	good := 0
	for err := range results {
		if err == nil {
			good++
		} else if !errors.Is(err, errdef.ErrState) {
			t.Error(err)
		}
	}
	if good != 1 {
		t.Errorf("%d changes succeeded", good)
	}
}

func kinds(t *testing.T, e *Events) (got []vmm.EventKind) {
	t.Helper()
	if err := e.Watch(t.Context(), func(e vmm.Event) error { got = append(got, e.Kind); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEveryWatcherIsToldEverything(t *testing.T) {
	e := NewEvents()
	early := make(chan []vmm.EventKind)
	go func() { early <- kinds(t, e) }()
	for _, kind := range []vmm.EventKind{vmm.Started, vmm.PowerOff, vmm.Stopped, vmm.Panic} {
		e.Add(vmm.Event{Kind: kind})
	}
	want := []vmm.EventKind{vmm.Started, vmm.PowerOff, vmm.Stopped} // nothing follows Stopped
	if got := <-early; !slices.Equal(got, want) {
		t.Errorf("the early watcher saw %v", got)
	}
	if got := kinds(t, e); !slices.Equal(got, want) {
		t.Errorf("the late watcher saw %v", got)
	}
	if !e.Has(vmm.PowerOff) || e.Has(vmm.Panic) {
		t.Error("Has does not tell what there was")
	}
}

func TestWatchEndsWithItsContextOrItsFunction(t *testing.T) {
	e := NewEvents()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Watch(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	e.Add(vmm.Event{Kind: vmm.Started})
	enough := errors.New("enough")
	if err := e.Watch(t.Context(), func(vmm.Event) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("error = %v", err)
	}
}
