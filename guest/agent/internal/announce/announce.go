// Package announce says how far the boot has come: on the console at once, and to the host as soon as there is a socket
// device. See package boot for the protocol.
package announce

import (
	"net"
	"time"

	"github.com/voidbox-run/voidbox/guest/agent/internal/vitals"
	"github.com/voidbox-run/voidbox/sdk/boot"
)

// patience bounds each write, and the wait for the host to have read the last one.
const patience = 2 * time.Second

// Announcer passes stages on.
type Announcer struct {
	console func(line string)
	conn    net.Conn // nil until Connect
	said    []boot.Announcement
	now     boot.Stage
}

// New makes an announcer that knows only the console.
func New(console func(line string)) *Announcer { return &Announcer{console: console} }

// Enter says that a stage begins.
func (a *Announcer) Enter(s boot.Stage) {
	a.now = s
	a.console(s.ConsoleLine())
	a.say(boot.Announcement{Stage: s})
}

// Ready says that the agent serves, and ends the announcement.
func (a *Announcer) Ready(version string) {
	a.console(boot.StageReady.ConsoleLine())
	a.say(boot.Announcement{Stage: boot.StageReady, Agent: version})
	a.close()
}

// Fail says why the agent never will, and ends the announcement. It returns once the host has taken note, or does not.
func (a *Announcer) Fail(err error) {
	a.console(boot.StageFailed.ConsoleLine() + " (in " + string(a.now) + "): " + err.Error())
	a.say(boot.Announcement{Stage: boot.StageFailed, At: a.now, Error: err.Error()})
	a.close()
}

// Connect passes on over conn what was said and what will be. It owns conn.
func (a *Announcer) Connect(conn net.Conn) {
	a.conn = conn
	said := a.said
	a.said = nil
	for _, line := range said {
		a.send(line)
	}
}

func (a *Announcer) say(line boot.Announcement) {
	line.Uptime = vitals.Uptime()
	if a.conn == nil {
		a.said = append(a.said, line)
		return
	}
	a.send(line)
}

// send gives up on a host that does not listen: it has the console still.
func (a *Announcer) send(line boot.Announcement) {
	if a.conn == nil {
		return
	}
	_ = a.conn.SetWriteDeadline(time.Now().Add(patience))
	if err := line.Write(a.conn); err != nil {
		a.console("voidbox: announce: " + err.Error())
		_ = a.conn.Close()
		a.conn = nil
	}
}

// close ends the connection from this side and waits until the host has done so from the other, since a machine that goes
// down takes bytes on the way with it.
func (a *Announcer) close() {
	if a.conn == nil {
		return
	}
	if half, ok := a.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		_ = a.conn.SetReadDeadline(time.Now().Add(patience))
		_, _ = a.conn.Read(make([]byte, 1))
	}
	_ = a.conn.Close()
	a.conn = nil
}
