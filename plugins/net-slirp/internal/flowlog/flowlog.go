// Package flowlog tells those who watch what happens to flows.
package flowlog

import (
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// backlog is how many events a watcher may be behind. A guest can make events as fast as packets.
const backlog = 1024

// Log hands events to its watchers. The zero value is ready for use.
type Log struct {
	mu       sync.RWMutex
	watchers map[*Watcher]struct{}
}

// Watcher receives events, and loses them when it is slow.
type Watcher struct {
	log    *Log
	events chan network.Event

	mu   sync.Mutex
	lost uint64
}

// Watch returns a watcher of all events from now on.
func (l *Log) Watch() *Watcher {
	w := &Watcher{log: l, events: make(chan network.Event, backlog)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchers == nil {
		l.watchers = make(map[*Watcher]struct{})
	}
	l.watchers[w] = struct{}{}
	return w
}

// Close ends the watcher.
func (w *Watcher) Close() {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	delete(w.log.watchers, w)
}

// C is where events come.
func (w *Watcher) C() <-chan network.Event { return w.events }

// Lost returns how many events were lost since the last call.
func (w *Watcher) Lost() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.lost
	w.lost = 0
	return n
}

func (w *Watcher) send(e network.Event) {
	select {
	case w.events <- e:
	default:
		w.mu.Lock()
		w.lost++
		w.mu.Unlock()
	}
}

// Opened tells of a flow that was opened.
func (l *Log) Opened(f policy.Flow, v policy.Verdict) { l.add(network.Opened, f, v, 0, 0, 0) }

// Denied tells of a flow that was denied.
func (l *Log) Denied(f policy.Flow, v policy.Verdict) { l.add(network.Denied, f, v, 0, 0, 0) }

// Closed tells of a flow that has ended, however it did.
func (l *Log) Closed(f policy.Flow, v policy.Verdict, sent, received uint64, lasted time.Duration) {
	l.add(network.Closed, f, v, sent, received, lasted)
}

// Refused tells of a packet that is of no flow: a protocol or an address, of hardware perhaps, is none that could be here.
func (l *Log) Refused(p network.Protocol, source, destination, rule string) {
	l.tell(network.Event{Kind: network.Denied, Time: time.Now(), Protocol: p, Source: source, Destination: destination, Rule: rule})
}

func (l *Log) add(kind network.EventKind, f policy.Flow, v policy.Verdict, sent, received uint64, lasted time.Duration) {
	if !l.watched() {
		return
	}
	l.tell(network.Event{
		Kind: kind, Time: time.Now(), Protocol: f.Protocol, Source: text(f, f.Source), Destination: text(f, f.Destination),
		Name: v.Name, Rule: v.Rule, Sent: sent, Received: received, Duration: lasted,
	})
}

func (l *Log) watched() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.watchers) > 0
}

func (l *Log) tell(e network.Event) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for w := range l.watchers {
		w.send(e)
	}
}
