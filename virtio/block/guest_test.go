//go:build linux

package block

import (
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ringFeatures = virtio.FeatureVersion1 | virtio.FeatureIndirect | virtio.FeatureEventIdx
	testSectors  = 2048
)

// guest is a guest kernel's block driver, reduced to requests: a test sends them one by one.
type guest struct {
	t      testing.TB
	dev    *Device
	mem    *virtiotest.Memory
	ring   *virtiotest.Ring
	broken chan error
	stop   func() []*virtio.Queue
	buffer uint64 // 64 KiB for the request at hand
}

// newFile returns a file of n sectors of noise.
func newFile(t testing.TB, sectors int) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk.img"))
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, sectors*sectorSize)
	fillNoise(noise, 1)
	if _, err := f.Write(noise); err != nil {
		t.Fatal(err)
	}
	return f
}

func fillNoise(p []byte, seed uint64) {
	source := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = source.Read(p)
}

// startGuest serves a fresh disk of testSectors to a guest.
func startGuest(t testing.TB, opt Options) *guest {
	t.Helper()
	file := newFile(t, testSectors)
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	dev, err := New(file, opt)
	if err != nil {
		t.Fatal(err)
	}
	return startDevice(t, dev)
}

// startDevice lends dev its rings until the test ends, and closes it then.
func startDevice(t testing.TB, dev *Device) *guest {
	t.Helper()
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	g := &guest{t: t, dev: dev, mem: virtiotest.NewMemory(t, 4<<20), broken: make(chan error, 1)}
	g.buffer = g.mem.Alloc(64 << 10)
	g.lend(dev.Features())
	return g
}

// lend gives the device a fresh ring, with features that the driver has agreed to.
func (g *guest) lend(features uint64) {
	g.ring = virtiotest.NewRing(g.t, g.mem, 128, ringFeatures)
	g.stop = virtiotest.Lend(g.t, g.dev, g.mem, ringFeatures|features, func(_ int, err error) { g.broken <- err }, g.ring)
}

// header is a request's first 16 bytes.
func header(k kind, sector uint64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(k))
	b = binary.LittleEndian.AppendUint32(b, 0)
	return binary.LittleEndian.AppendUint64(b, sector)
}

// do sends one request as Linux lays it out, and returns its status, what was read and the used length.
func (g *guest) do(k kind, sector uint64, out []byte, room int) (status, []byte, int) {
	g.t.Helper()
	return g.send(append(header(k, sector), out...), []int{headerSize, len(out)}, []int{room, 1})
}

const unwritten = 0xee // fills guest memory, to tell what the device has written

// send sends a request whose readable bytes are cut at the lengths of the first list, and whose writable descriptors have those
// of the second. Lengths of 0 are left out. It returns the last writable byte, those before it, and the used length.
func (g *guest) send(readable []byte, cut, room []int) (status, []byte, int) {
	g.t.Helper()
	at := g.buffer
	copy(g.mem.At(at, len(readable)), readable)
	var bufs []virtiotest.Buffer
	for _, n := range cut {
		if n > 0 {
			bufs = append(bufs, virtiotest.Buffer{Addr: at, Len: n})
			at += uint64(n)
		}
	}
	at = g.buffer + uint64(len(readable))
	writable, total := at, 0
	for _, n := range room {
		if n > 0 {
			bufs = append(bufs, virtiotest.Buffer{Addr: at, Len: n, Write: true})
			at += uint64(n)
			total += n
		}
	}
	all := g.mem.At(writable, total)
	for i := range all {
		all[i] = unwritten
	}
	if _, ok := g.ring.Add(bufs...); !ok {
		g.t.Fatal("the ring is full")
	}
	g.ring.Publish()
	_, used := g.ring.Wait()
	if total == 0 {
		return unwritten, nil, used
	}
	return status(all[total-1]), all[:total-1], used
}

func patience() time.Time { return time.Now().Add(virtiotest.Patience) }
