package announce

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/boot"
)

// told runs an announcement and returns what the host and the console hear.
func told(t *testing.T, say func(a *Announcer, connect func())) (host []boot.Announcement, console []string) {
	t.Helper()
	guest, far := net.Pipe()
	heard := make(chan error, 1)
	go func() {
		heard <- boot.ReadAnnouncements(far, func(a boot.Announcement) { host = append(host, a) })
		_ = far.Close()
	}()
	a := New(func(line string) { console = append(console, line) })
	say(a, func() { a.Connect(guest) })
	if err := <-heard; err != nil {
		t.Fatal(err)
	}
	return host, console
}

func stagesOf(list []boot.Announcement) (stages []boot.Stage) {
	for _, a := range list {
		stages = append(stages, a.Stage)
	}
	return stages
}

func TestWhatWasSaidBeforeTheConnectionIsRepeated(t *testing.T) {
	host, console := told(t, func(a *Announcer, connect func()) {
		a.Enter(boot.StageStart)
		a.Enter(boot.StageModules)
		connect()
		a.Enter(boot.StageMounts)
		a.Ready("v1")
	})
	want := []boot.Stage{boot.StageStart, boot.StageModules, boot.StageMounts, boot.StageReady}
	if got := stagesOf(host); !slices.Equal(got, want) || host[3].Agent != "v1" || host[0].Uptime <= 0 {
		t.Errorf("the host heard %+v", host)
	}
	var onConsole []boot.Stage
	for _, line := range console {
		if stage, ok := boot.ConsoleStage(line); ok {
			onConsole = append(onConsole, stage)
		}
	}
	if !slices.Equal(onConsole, want) {
		t.Errorf("the console shows %q", console)
	}
}

func TestAFailureNamesItsStage(t *testing.T) {
	host, console := told(t, func(a *Announcer, connect func()) {
		connect()
		a.Enter(boot.StageNetwork)
		a.Fail(errors.New("no such link"))
	})
	last := host[len(host)-1]
	if last.Stage != boot.StageFailed || last.At != boot.StageNetwork || last.Error != "no such link" {
		t.Errorf("the host heard %+v", last)
	}
	if text := console[len(console)-1]; !strings.Contains(text, "(in network): no such link") {
		t.Errorf("the console shows %q", text)
	}
}

func TestAHostThatHangsUpDoesNotStopTheBoot(t *testing.T) {
	guest, far := net.Pipe()
	_ = far.Close()
	var console []string
	a := New(func(line string) { console = append(console, line) })
	a.Connect(guest)
	a.Enter(boot.StageMounts)
	a.Ready("v1")
	if !slices.Contains(console, boot.StageReady.ConsoleLine()) {
		t.Errorf("the console shows %q", console)
	}
}
