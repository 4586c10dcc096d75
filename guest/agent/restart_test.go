package main_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/boot"
)

// restarting starts a main process, a script that gets a directory of its own.
func restarting(t *testing.T, when boot.Restart, script string) *process {
	config := ownUser(t)
	config.Main = &boot.Main{Args: []string{"sh", "-c", script, "sh", t.TempDir()}, Restart: when, RestartDelay: time.Millisecond}
	return startProcess(t, config)
}

// failTwice fails two times and then succeeds.
const failTwice = `cd "$1"; echo x >> runs; test $(wc -l < runs) = 3 || { echo bad; exit 9; }; echo good`

func TestRestartOnFailure(t *testing.T) {
	p := restarting(t, boot.RestartOnFailure, failTwice)
	exit, err := p.WaitMain(t.Context())
	if err != nil || exit.Code != 0 {
		t.Fatalf("%+v, %v", exit, err)
	}
	var out bytes.Buffer
	if err := p.MainOutput(t.Context(), false, &out, &out); err != nil || out.String() != "bad\nbad\ngood\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestNoRestartUnlessAskedFor(t *testing.T) {
	for _, when := range []boot.Restart{"", boot.RestartNever} {
		p := restarting(t, when, failTwice)
		if exit, err := p.WaitMain(t.Context()); err != nil || exit.Code != 9 {
			t.Errorf("%q: %+v, %v", when, exit, err)
		}
	}
}

// Whatever the policy, a sandbox that shuts down ends its main process once and for all: one that runs, and one that waits for its
// next start.
func TestShutdownEndsRestarts(t *testing.T) {
	for what, script := range map[string]string{
		"one that runs":  `echo up; exec sleep 1000`,
		"one that waits": `echo up; exit 3`,
	} {
		t.Run(what, func(t *testing.T) {
			p := restarting(t, boot.RestartAlways, script)
			var out bytes.Buffer
			for out.Len() < 3 {
				if err := p.MainOutput(t.Context(), false, &out, &out); err != nil {
					t.Fatal(err)
				}
			}
			exit, err := p.Shutdown(t.Context(), time.Minute)
			if err != nil || exit == nil || exit.Code != 3 && exit.Signal != "TERM" {
				t.Errorf("%+v, %v", exit, err)
			}
		})
	}
}
