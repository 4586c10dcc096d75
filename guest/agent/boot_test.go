package main_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// shell runs a script in a sandbox and returns what it wrote to both outputs.
func shell(t testing.TB, s sandbox.Sandbox, user, script string) (string, sandbox.Exit) {
	t.Helper()
	stdout, stderr, exit, err := sandbox.Output(t.Context(), s, sandbox.Command{Args: []string{"sh", "-c", script}, User: user})
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return string(stdout) + string(stderr), exit
}

// says runs a script and demands its output.
func says(t testing.TB, s sandbox.Sandbox, user, script, want string) {
	t.Helper()
	got, exit := shell(t, s, user, script)
	if strings.TrimSpace(got) != want {
		t.Errorf("%s: got %q (%+v), want %q", script, got, exit, want)
	}
}

func TestMachineBootsToReady(t *testing.T) {
	config := newConfig()
	config.Hostname = "box"
	config.Main = &boot.Main{Args: []string{"sh", "-c", "trap 'echo bye; exit 7' TERM; echo hello; while :; do sleep 0.1; done"}}
	config.Env = map[string]string{"COLOUR": "blue"}
	v := startVM(t, config, options{})
	var stages []boot.Stage
	for _, a := range v.await() {
		stages = append(stages, a.Stage)
		t.Logf("%s after %v", a.Stage, a.Uptime)
	}
	want := []boot.Stage{boot.StageStart, boot.StageModules, boot.StageMounts, boot.StageNetwork, boot.StageMain, boot.StageReady}
	if !slices.Equal(stages, want) {
		t.Errorf("stages %v, want %v", stages, want)
	}
	s := v.client(config.Token)

	says(t, s, "", "id -u; id -g; id -G; echo $HOME $COLOUR; pwd", "1000\n1000\n1000\n/home/sandbox blue\n/home/sandbox")
	says(t, s, "root", "id -u; echo $HOME", "0\n/root")
	says(t, s, "", "hostname", "box")
	says(t, s, "", "test -e /run/voidbox/boot.json && echo there", "")
	says(t, s, "", "cat /proc/1/environ /proc/1/mem 2>/dev/null | wc -c", "0")
	says(t, s, "", "cat /proc/cmdline | grep -c token", "0")
	says(t, s, "", "cat /sys/class/net/lo/operstate; cat /proc/net/if_inet6 | grep -c lo", "unknown\n1")
	says(t, s, "", `for d in /tmp /dev/shm /run /dev/pts /proc /sys/fs/cgroup; do grep -q " $d " /proc/mounts || echo $d; done`, "")
	says(t, s, "", "grep -o 'work/exec-' /proc/self/cgroup", "work/exec-")
	says(t, s, "", "cat /proc/self/oom_score_adj", "0")

	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Hostname != "box" || info.User != "sandbox" || !info.Main.Running || !info.Has(sandbox.CapFreeze) || !info.Has(sandbox.CapUsers) {
		t.Errorf("info: %+v", info)
	}
	metrics, err := s.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	used := (metrics.MemoryTotalBytes - metrics.MemoryAvailableBytes) >> 20
	t.Logf("memory: %d MiB in all, %d MiB used; processes: %d", metrics.MemoryTotalBytes>>20, used, metrics.Processes)
	if used > 40 && info.Kernel != "" && !strings.Contains(info.Kernel, "cloud") {
		t.Errorf("%d MiB are used at idle, more than 40", used)
	}
	clock, _ := shell(t, s, "", "date +%s")
	var seconds int64
	if _, err := fmt.Sscan(clock, &seconds); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
		t.Errorf("the guest's clock says %q", clock)
	}

	exit, err := s.Shutdown(t.Context(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if exit == nil || exit.Code != 7 {
		t.Errorf("main process: %+v", exit)
	}
	v.awaitEnd()
	if strings.Contains(v.console.String(), "panic") {
		t.Error("the machine did not switch itself off, it panicked")
	}
}

func TestWrongTokenIsRefusedInAMachine(t *testing.T) {
	config := newConfig()
	v := startVM(t, config, options{})
	v.ready()
	_, err := v.client(make([]byte, sandbox.TokenSize)).Info(t.Context())
	if !errors.Is(err, errdef.ErrUnauthenticated) {
		t.Errorf("got %v", err)
	}
	if _, err := v.client(config.Token).Info(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMachineWithoutVsockSaysSoOnTheConsole(t *testing.T) {
	v := startVM(t, newConfig(), options{noVsock: true})
	v.awaitEnd()
	for line := range strings.Lines(v.console.String()) {
		if stage, ok := boot.ConsoleStage(line); ok && stage == boot.StageFailed && strings.Contains(line, "vsock") {
			return
		}
	}
	t.Error("no failure on the console")
}

func TestBootFailuresNameTheirStage(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*boot.Config)
		at    boot.Stage
		about string
	}{
		{"no disk", func(c *boot.Config) {
			c.Root = boot.Root{Kind: boot.RootDisk, Serial: "nowhere", FSType: "ext4"}
		}, boot.StageMounts, `serial "nowhere"`},
		{"no interface", func(c *boot.Config) {
			c.Network.Interfaces = []boot.Interface{{MAC: "02:00:00:00:00:99"}}
		}, boot.StageNetwork, "02:00:00:00:00:99"},
		{"no program", func(c *boot.Config) { c.Main = &boot.Main{Args: []string{"nonesuch"}} }, boot.StageMain, "nonesuch"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := newConfig()
			tt.spoil(config)
			v := startVM(t, config, options{})
			all := v.await()
			last := all[len(all)-1]
			if last.Stage != boot.StageFailed || last.At != tt.at || !strings.Contains(last.Error, tt.about) {
				t.Errorf("got %+v", last)
			}
			v.awaitEnd()
		})
	}
}

func TestMachineWithoutConfigurationEnds(t *testing.T) {
	v := startVM(t, nil, options{})
	v.awaitEnd()
	if console := v.console.String(); !strings.Contains(console, "stage failed (in start)") || !strings.Contains(console, boot.Path) {
		t.Errorf("the console does not say what is missing")
	}
}

func TestNetworkAndMounts(t *testing.T) {
	config := newConfig()
	config.Hostname = "box"
	config.Network = boot.Network{
		Interfaces: []boot.Interface{{MAC: "02:00:00:00:00:01", Addresses: []string{"10.0.2.15/24", "fec0::15/64"}, Gateways: []string{"10.0.2.2", "fec0::2"}, MTU: 1400}},
		DNS:        []string{"10.0.2.3"},
		Search:     []string{"example.org"},
	}
	config.Mounts = []boot.Mount{{Source: "scratch", Target: "/mnt/deep/scratch", FSType: "tmpfs", ReadOnly: true, Options: "size=1m,nosuid"}}
	config.Dir = "/work/here"
	v := startVM(t, config, options{args: []string{"-netdev", "user,id=n", "-device", "virtio-net-device,netdev=n,mac=02:00:00:00:00:01"}})
	v.ready()
	s := v.client(config.Token)
	says(t, s, "", "cat /sys/class/net/eth0/mtu; cat /sys/class/net/eth0/carrier", "1400\n1")
	says(t, s, "", "ip -4 addr show dev eth0 | grep -c 'inet 10.0.2.15/24'; ip route | grep -c 'default via 10.0.2.2 dev eth0'", "1\n1")
	says(t, s, "", "ip -6 addr show dev eth0 | grep 'fec0::15/64' | grep -c tentative; ip -6 route | grep -c 'default via fec0::2'", "0\n1")
	says(t, s, "", "cat /etc/resolv.conf", "nameserver 10.0.2.3\nsearch example.org")
	says(t, s, "", "grep -c box /etc/hosts", "1")
	says(t, s, "", "grep ' /mnt/deep/scratch ' /proc/mounts | grep -o 'tmpfs ro,nosuid'", "tmpfs ro,nosuid")
	says(t, s, "", "pwd; touch x && echo mine", "/work/here\nmine")
	conn, err := s.Dial(t.Context(), "tcp", "10.0.2.2:1")
	if err == nil {
		_ = conn.Close()
		t.Error("the host's port 1 answered")
	}
}

func TestDiskRoot(t *testing.T) {
	disk := testvm.Disk(t)
	for _, mode := range []boot.RootMode{boot.RootOverlay, boot.RootReadOnly, boot.RootReadWrite} {
		t.Run(string(mode), func(t *testing.T) {
			config := newConfig()
			config.Root = boot.Root{Kind: boot.RootDisk, Serial: "root", FSType: "ext4", Mode: mode}
			config.Network.DNS = []string{"10.0.2.3"}
			v := startVM(t, config, options{contents: image.Minimal, memory: 512, args: []string{
				"-drive", "id=root,if=none,format=raw,snapshot=on,file=" + disk, "-device", "virtio-blk-device,drive=root,serial=root"}})
			v.ready()
			s := v.client(config.Token)
			says(t, s, "", "python3 -c 'print(6*7)'", "42")
			says(t, s, "root", "ls /init /lib/voidbox /newroot 2>/dev/null", "")
			says(t, s, "", "cat /etc/resolv.conf", "nameserver 10.0.2.3")
			says(t, s, "", "touch /tmp/x /dev/shm/x && echo fine; tty -s < /dev/ptmx; ls /dev/pts/ptmx /dev/fd/0", "fine\n/dev/fd/0\n/dev/pts/ptmx")
			wrote, _ := shell(t, s, "", "touch /home/sandbox/x && echo fine")
			if (strings.TrimSpace(wrote) == "fine") != (mode != boot.RootReadOnly) {
				t.Errorf("write below %s: %q", mode, wrote)
			}
			if _, err := s.Shutdown(t.Context(), time.Second); err != nil {
				t.Error(err)
			}
			v.awaitEnd()
		})
	}
}

// Debian's kernel has the socket device, and nearly everything else, as a module.
func TestModulesAreLoaded(t *testing.T) {
	kernel, err := testvm.Require(t).Cache.Kernel(t.Context(), image.KernelRequest{Path: debianKernel(t)})
	if err != nil {
		t.Fatal(err)
	}
	config := newConfig()
	v := startVM(t, config, options{kernel: &kernel})
	v.ready()
	says(t, v.client(config.Token), "", "grep -c '^vmw_vsock_virtio_transport ' /proc/modules", "1")
}

// debianKernel finds the kernel that core/image has fetched.
func debianKernel(t *testing.T) string {
	t.Helper()
	home, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, "voidbox/kernels/debian/linux-image-cloud-amd64/vmlinux")
	if _, err := os.Stat(file); err != nil {
		if os.Getenv(testvm.RequireEnv) == "1" {
			t.Fatalf("Debian's kernel is not in the cache: %v; boot any machine without a kernel of your own once", err)
		}
		t.Skipf("Debian's kernel is not in the cache: %v", err)
	}
	return file
}
