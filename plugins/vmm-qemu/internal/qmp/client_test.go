package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}`

// script plays QEMU: it greets, answers qmp_capabilities, and then hands each command to next.
func script(t *testing.T, next func(cmd command, say func(string))) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		say := func(line string) { _, _ = fmt.Fprintln(theirs, line) }
		say(greeting)
		lines := bufio.NewScanner(theirs)
		for lines.Scan() {
			var cmd command
			if err := json.Unmarshal(lines.Bytes(), &cmd); err != nil {
				t.Errorf("client sent %q: %v", lines.Bytes(), err)
				return
			}
			if cmd.Execute == "qmp_capabilities" {
				say(fmt.Sprintf(`{"return": {}, "id": %d}`, cmd.ID))
				continue
			}
			next(cmd, say)
		}
	}()
	t.Cleanup(func() { <-done })
	return ours
}

func connect(t *testing.T, conn net.Conn, onEvent func(Event)) *Client {
	t.Helper()
	c, err := Connect(t.Context(), conn, onEvent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAnswersFindTheirCommands(t *testing.T) {
	var held string
	conn := script(t, func(cmd command, say func(string)) {
		answer := fmt.Sprintf(`{"return": {"was": %q}, "id": %d}`, cmd.Execute, cmd.ID)
		if held == "" {
			held = answer
			return
		}
		say(answer) // the command that came second is answered first
		say(held)
	})
	c := connect(t, conn, func(Event) {})
	if c.Version() != "7.2.22" {
		t.Errorf("version = %q, want 7.2.22", c.Version())
	}
	var wg sync.WaitGroup
	for _, name := range []string{"one", "other"} {
		wg.Go(func() {
			var result struct{ Was string }
			if err := c.Do(t.Context(), name, nil, &result); err != nil || result.Was != name {
				t.Errorf("%s was answered as %q, error %v", name, result.Was, err)
			}
		})
	}
	wg.Wait()
}

func TestRefusalIsATypedError(t *testing.T) {
	conn := script(t, func(cmd command, say func(string)) {
		say(fmt.Sprintf(`{"error": {"class": "CommandNotFound", "desc": "no such command"}, "id": %d}`, cmd.ID))
	})
	err := connect(t, conn, func(Event) {}).Do(t.Context(), "nonsense", nil, nil)
	var refused *Error
	if !errors.As(err, &refused) || refused.Class != "CommandNotFound" {
		t.Errorf("error = %v, want CommandNotFound", err)
	}
}

func TestEventsArriveInOrderBetweenAnswers(t *testing.T) {
	conn := script(t, func(cmd command, say func(string)) {
		say(`{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}`)
		say(`{"return": {}, "id": 999}`) // nobody asked
		say(`{"return": {}}`)
		say(`{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}`)
		say(fmt.Sprintf(`{"return": {}, "id": %d}`, cmd.ID))
	})
	var got []string
	c := connect(t, conn, func(e Event) { got = append(got, e.Name+string(e.Data)) })
	if err := c.Do(t.Context(), "stop", nil, nil); err != nil {
		t.Fatal(err)
	}
	want := `STOP SHUTDOWN{"guest": true, "reason": "guest-reset"}`
	if strings.Join(got, " ") != want {
		t.Errorf("events = %q, want %q", got, want)
	}
}

func TestEndOfConnectionFailsWhatIsPending(t *testing.T) {
	for name, line := range map[string]string{
		"garbage":        `{"return"`,
		"line too long":  `{"return": "` + strings.Repeat("x", maxLine) + `"}`,
		"not an object":  `[1]`,
		"wrong id type":  `{"return": {}, "id": "seven"}`,
		"nesting attack": strings.Repeat("[", 20000),
	} {
		t.Run(name, func(t *testing.T) {
			conn := script(t, func(_ command, say func(string)) { say(line) })
			c := connect(t, conn, func(Event) {})
			if err := c.Do(t.Context(), "stop", nil, nil); err == nil {
				t.Error("a command was answered by garbage")
			}
			<-c.Done()
			if err := c.Do(t.Context(), "stop", nil, nil); err == nil {
				t.Error("a command went through after the end")
			}
		})
	}
}

func TestAnswerBeforeTheEndStillCounts(t *testing.T) {
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(theirs)
		_, _ = fmt.Fprintln(theirs, greeting)
		for id := 1; id <= 2 && lines.Scan(); id++ {
			_, _ = fmt.Fprintf(theirs, `{"return": {}, "id": %d}`+"\n", id)
		}
		_ = theirs.Close()
	}()
	c := connect(t, ours, func(Event) {})
	if err := c.Do(t.Context(), "quit", nil, nil); err != nil {
		t.Errorf("quit: %v", err)
	}
	<-done
}

func TestConnectGivesUpWithItsContext(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Connect(ctx, ours, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want Canceled", err)
	}
}

func TestConnectRefusesWhatIsNoQEMU(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() { _, _ = theirs.Write([]byte("220 mail.example.org ESMTP\n")) }()
	if _, err := Connect(t.Context(), ours, nil); err == nil || !strings.Contains(err.Error(), "greeting") {
		t.Errorf("error = %v, want one about the greeting", err)
	}
}

func FuzzDispatch(f *testing.F) {
	f.Add([]byte(greeting))
	f.Add([]byte(`{"return": {}, "id": 1}`))
	f.Add([]byte(`{"event": "STOP"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var m message
		if json.Unmarshal(line, &m) != nil {
			return
		}
		answer := make(chan message, 1)
		c := &Client{onEvent: func(Event) {}, pending: map[uint64]chan<- message{1: answer}}
		c.dispatch(m)
		c.dispatch(m) // the same answer twice must neither block nor be delivered twice
		if len(answer) > 1 {
			t.Fatal("two answers to one command")
		}
	})
}
