package boot

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func valid() *Config {
	return &Config{Version: Version, Token: bytes.Repeat([]byte{7}, tokenSize)}
}

func full() *Config {
	c := valid()
	c.Hostname = "box-1"
	c.Root = Root{Kind: RootDisk, Serial: "root", FSType: "erofs", Mode: RootOverlay, OverlaySize: 1 << 20, OverlaySerial: "scratch"}
	c.Mounts = []Mount{{Source: "work", Target: "/workspace", FSType: "virtiofs", ReadOnly: true, Options: "dax"}}
	c.Network = Network{
		Interfaces: []Interface{{MAC: "02:00:00:00:00:01", Addresses: []string{"10.0.2.15/24", "fd00::15/64"}, Gateways: []string{"10.0.2.2", "fd00::2"}, MTU: 1500}},
		DNS:        []string{"10.0.2.3"}, Search: []string{"lan"},
	}
	c.SSH = SSH{AgentPort: 1026, AgentToken: bytes.Repeat([]byte{9}, tokenSize), KnownHosts: []string{"example.com ssh-ed25519 AAAA"}}
	c.ClockUnixNano = 1_800_000_000_000_000_000
	c.Seed = []byte("seed")
	c.Env = map[string]string{"A": "b"}
	c.Dir = "/workspace"
	c.User = DefaultUser
	c.Limits = Limits{MemoryBytes: 1, OpenFiles: 2, Processes: 3, FileSizeBytes: 4, CPUTime: time.Second}
	c.MaxProcesses = 100
	c.Commands = []CommandRule{"git", "/usr/bin/ls", "/opt/tools/"}
	c.Main = &Main{Args: []string{"sleep", "infinity"}, Env: map[string]string{"X": ""}, Dir: "/", User: "0:0", Restart: RestartAlways, RestartDelay: time.Second}
	c.AnnouncePort = 1025
	c.Grace = time.Second
	return c
}

func TestConfigSurvivesEncoding(t *testing.T) {
	for name, want := range map[string]*Config{"least": valid(), "full": full()} {
		data, err := want.Encode()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestValidateNamesTheField(t *testing.T) {
	tests := []struct {
		field string
		spoil func(*Config)
	}{
		{"version", func(c *Config) { c.Version = 2 }},
		{"token", func(c *Config) { c.Token = c.Token[1:] }},
		{"token", func(c *Config) { c.Token = make([]byte, tokenSize) }},
		{"hostname", func(c *Config) { c.Hostname = "a b" }},
		{"hostname", func(c *Config) { c.Hostname = strings.Repeat("a", 64) }},
		{"hostname", func(c *Config) { c.Hostname = "-a" }},
		{"root", func(c *Config) { c.Root.Kind = "nfs" }},
		{"root", func(c *Config) { c.Root = Root{Kind: RootInitramfs, Serial: "x"} }},
		{"root", func(c *Config) { c.Root.Path = "/dev/vda" }},
		{"root", func(c *Config) { c.Root.FSType = "" }},
		{"root", func(c *Config) { c.Root.Mode = "rwx" }},
		{"root", func(c *Config) { c.Root.Mode = RootReadOnly }},
		{"root", func(c *Config) { c.Root.OverlaySerial = strings.Repeat("a", 21) }},
		{"root", func(c *Config) { c.Root.Serial = strings.Repeat("a", 21) }},
		{"mounts", func(c *Config) { c.Mounts[0].Target = "workspace" }},
		{"mounts", func(c *Config) { c.Mounts[0].Target = "/a/../b" }},
		{"mounts", func(c *Config) { c.Mounts[0].Source = "" }},
		{"network", func(c *Config) { c.Network.Interfaces[0].MAC = "02:00" }},
		{"ssh", func(c *Config) { c.SSH.AgentToken = nil }},
		{"ssh", func(c *Config) { c.SSH.KnownHosts[0] += "\n" }},
		{"network", func(c *Config) { c.Network.Interfaces[0].Addresses[0] = "10.0.2.15" }},
		{"network", func(c *Config) { c.Network.Interfaces[0].Gateways[1] = "10.0.2.9" }},
		{"network", func(c *Config) { c.Network.Interfaces[0].MTU = 100 }},
		{"network", func(c *Config) { c.Network.DNS[0] = "dns.example" }},
		{"clock_unix_ns", func(c *Config) { c.ClockUnixNano = -1 }},
		{"seed", func(c *Config) { c.Seed = make([]byte, 1025) }},
		{"env", func(c *Config) { c.Env["a=b"] = "" }},
		{"env", func(c *Config) { c.Env["a"] = "\x00" }},
		{"dir", func(c *Config) { c.Dir = "x" }},
		{"user", func(c *Config) { c.User.Name = "a:b" }},
		{"user", func(c *Config) { c.User.Home = "" }},
		{"limits", func(c *Config) { c.Limits.CPUTime = -1 }},
		{"commands", func(c *Config) { c.Commands[0] = "" }},
		{"commands", func(c *Config) { c.Commands[0] = "bin/ls" }},
		{"main", func(c *Config) { c.Main.Args = nil }},
		{"main", func(c *Config) { c.Main.Restart = "sometimes" }},
		{"main", func(c *Config) { c.Main.RestartDelay = -1 }},
		{"main", func(c *Config) { c.Main.Args[1] = "\x00" }},
		{"grace_ns", func(c *Config) { c.Grace = -1 }},
	}
	for _, tt := range tests {
		c := full()
		tt.spoil(c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), "boot configuration: "+tt.field+":") {
			t.Errorf("want an error about %s, got %v", tt.field, err)
		}
	}
}

func TestParseIsStrict(t *testing.T) {
	data, err := valid().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"unknown field": strings.Replace(string(data), "{", `{"tokn":"",`, 1),
		"second value":  string(data) + "{}",
		"truncated":     string(data[:len(data)-1]),
		"empty":         "",
		"huge":          string(data) + strings.Repeat(" ", MaxSize),
	} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAnnouncementsArriveUpToTheLast(t *testing.T) {
	sent := []Announcement{{Stage: StageModules, Uptime: time.Second}, {Stage: StageReady, Agent: "v1"}}
	var conn bytes.Buffer
	for _, a := range sent {
		if err := a.Write(&conn); err != nil {
			t.Fatal(err)
		}
	}
	conn.WriteString("not read any more\n")
	var got []Announcement
	if err := ReadAnnouncements(&conn, func(a Announcement) { got = append(got, a) }); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sent) {
		t.Errorf("got %+v, want %+v", got, sent)
	}
}

func TestAnnouncementsOfAHostileGuest(t *testing.T) {
	ignore := func(Announcement) {}
	if err := ReadAnnouncements(strings.NewReader(`{"stage":"modules"}`+"\n"), ignore); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("early end: %v", err)
	}
	for name, bad := range map[string]string{
		"no JSON":          "hello\n",
		"unknown stage":    `{"stage":"party"}` + "\n",
		"endless line":     strings.Repeat("a", 10*maxLine),
		"endless lines":    strings.Repeat(`{"stage":"modules"}`+"\n", 2*maxLines),
		"nameless failure": `{"stage":"failed"}` + "\n",
	} {
		if err := ReadAnnouncements(strings.NewReader(bad), ignore); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFailureWithAnEndlessErrorIsReadable(t *testing.T) {
	var conn bytes.Buffer
	if err := (Announcement{Stage: StageFailed, At: StageMounts, Error: strings.Repeat("\x01", 10*maxLine)}).Write(&conn); err != nil {
		t.Fatal(err)
	}
	var got Announcement
	if err := ReadAnnouncements(&conn, func(a Announcement) { got = a }); err != nil {
		t.Fatal(err)
	}
	if got.Err() == nil || !strings.Contains(got.Err().Error(), "in stage mounts") {
		t.Errorf("got %v", got.Err())
	}
}

func TestConsoleStage(t *testing.T) {
	for line, want := range map[string]Stage{
		StageMounts.ConsoleLine():                    StageMounts,
		"[    1.2] voidbox: stage network\r\n":       StageNetwork,
		"voidbox: stage failed (in mounts): no disk": StageFailed,
	} {
		if got, ok := ConsoleStage(line); !ok || got != want {
			t.Errorf("%q: got %q, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "voidbox: stage party", "Run /init as init process"} {
		if got, ok := ConsoleStage(line); ok {
			t.Errorf("%q: got %q", line, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range []*Config{valid(), full()} {
		data, err := c.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"version":1,"token":"","main":{"args":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			return
		}
		again, err := c.Encode()
		if err != nil {
			t.Fatalf("parsed, but does not encode: %v", err)
		}
		if _, err := Parse(again); err != nil && !strings.Contains(err.Error(), "more than") {
			t.Fatalf("encoded, but does not parse: %v", err)
		}
	})
}

func FuzzReadAnnouncements(f *testing.F) {
	f.Add([]byte(`{"stage":"modules"}` + "\n" + `{"stage":"ready","version":"v1"}` + "\n"))
	f.Add([]byte(`{"stage":"failed","at":"mounts","error":"no disk"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		_ = ReadAnnouncements(bytes.NewReader(data), func(a Announcement) {
			if n++; !a.Stage.known() || n > maxLines {
				t.Fatalf("announcement %d: %+v", n, a)
			}
		})
	})
}
