//go:build linux

package sharefs

import (
	"container/list"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// table holds what the guest knows: nodes by number and by inode, and handles.
type table struct {
	mu    sync.Mutex
	nodes []*node // by id; 0 is none, 1 the device's root
	free  []uint64
	byKey map[key]*node
	count int

	recent    *list.List // descriptors that may be closed, the one used last in front
	pinned    int
	maxOpen   int
	maxPinned int
	maxNodes  int

	handles    []slot // by the lower half of a handle's number
	freeSlots  []uint32
	open       int
	dirs       int // handles of directories
	listed     int // entries that these hold
	maxHandles int

	devices []uint64 // file systems of the host, in the order in which they were met
}

const rootID = 1

// Limits bound what one guest makes this process keep.
type Limits struct {
	Descriptors int // O_PATH, of nodes
	Handles     int // open files and directories, and files that lost their name
	Nodes       int
}

func newTable(l Limits) *table {
	return &table{
		nodes: make([]*node, rootID), byKey: make(map[key]*node), recent: list.New(),
		maxOpen: l.Descriptors, maxPinned: l.Handles / 2, maxNodes: l.Nodes, maxHandles: l.Handles - l.Handles/2,
	}
}

// get returns the node of a number that the guest sent.
func (t *table) get(id uint64) (*node, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id >= uint64(len(t.nodes)) || t.nodes[id] == nil {
		return nil, unix.ESTALE
	}
	return t.nodes[id], nil
}

// found is what a lookup has found in a directory.
type found struct {
	stat   hostfs.Stat // of the body
	record share.Record
	front  bool // there is something in front
	back   bool // and below
	below  key  // its key
}

// enter returns the node of what was found by name in dir, made if need be, and counts a lookup of the guest.
func (t *table) enter(dir *node, name string, f *found) (*node, error) {
	k := keyOf(dir.mount, &f.stat)
	kind := uint32(f.stat.Mode) & unix.S_IFMT
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byKey[k]
	if n != nil && n.kind != kind {
		n = nil // a number that was used again, on a host that does not tell births
	}
	if n == nil {
		if t.count >= t.maxNodes {
			return nil, unix.ENFILE
		}
		n = &node{mount: dir.mount, kind: kind, ino: t.inoOf(k, f)}
		t.add(n)
		t.byKey[k] = n
	}
	n.lookups++
	t.move(n, dir, name, f)
	return n, nil
}

// inoOf is the number that the guest sees.
func (t *table) inoOf(k key, f *found) uint64 {
	if f.record.Has&share.HasIno != 0 {
		return f.record.Ino
	}
	return t.number(k.dev, k.ino)
}

// number makes numbers of different file systems differ. The table is locked.
func (t *table) number(dev, ino uint64) uint64 {
	i := slices.Index(t.devices, dev)
	if i < 0 {
		i = len(t.devices)
		t.devices = append(t.devices, dev)
	}
	const deviceShift = 48 // above the numbers of all but the largest file systems
	return ino ^ uint64(i)<<deviceShift
}

// move puts a node where it was found.
func (t *table) move(n, dir *node, name string, f *found) {
	if n.parent != dir {
		dir.kids++
		if old := n.parent; old != nil {
			old.kids--
			defer t.prune(old)
		}
		n.parent = dir
	}
	if f.front {
		if n.front == nil {
			n.front = &place{key: keyOf(n.mount, &f.stat)}
		}
		if n.front.gone {
			t.unpin(n.front)
		}
		n.front.dir, n.front.name, n.front.gone = dir.front, name, false
	}
	if f.back {
		if n.back == nil {
			n.back = &place{key: f.below}
		}
		if n.back.gone { // it has been found by another name
			t.unpin(n.back)
		}
		n.back.dir, n.back.name, n.back.gone = dir.back, name, false
	}
}

func (t *table) add(n *node) {
	if last := len(t.free) - 1; last >= 0 {
		n.id, t.free = t.free[last], t.free[:last]
		t.nodes[n.id] = n
	} else {
		n.id = uint64(len(t.nodes))
		t.nodes = append(t.nodes, n)
	}
	t.count++
}

// forget takes lookups back.
func (t *table) forget(id, lookups uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id <= rootID || id >= uint64(len(t.nodes)) || t.nodes[id] == nil {
		return
	}
	n := t.nodes[id]
	n.lookups -= min(lookups, n.lookups)
	t.prune(n)
}

// prune drops a node of which the guest knows nothing any more, and the directories above it that were kept for its sake. A
// mount's root stays, having no parent.
func (t *table) prune(n *node) {
	for n != nil && n.parent != nil && n.lookups == 0 && n.kids == 0 && len(n.handles) == 0 && t.nodes[n.id] == n {
		up := n.parent
		up.kids--
		t.drop(n)
		n = up
	}
}

func (t *table) drop(n *node) {
	for _, p := range []*place{n.front, n.back} {
		if p == nil {
			continue
		}
		t.shut(p)
		if t.byKey[p.key] == n {
			delete(t.byKey, p.key)
		}
	}
	t.nodes[n.id] = nil
	t.free = append(t.free, n.id)
	t.count--
}

// bodyOf returns the place of a node's contents.
func (t *table) bodyOf(n *node) *place {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.body()
}

// openOf holds the descriptor of a place if it is open; else it returns nil.
func (t *table) openOf(p *place) *descriptor {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.open != nil {
		t.use(p.open)
	}
	return p.open
}

func (t *table) keyOf(p *place) key {
	t.mu.Lock()
	defer t.mu.Unlock()
	return p.key
}

// holdDir holds the directory of a place, and returns the name in it.
func (t *table) holdDir(p *place) (*descriptor, string, error) {
	t.mu.Lock()
	dir, name, gone := p.dir, p.name, p.gone
	t.mu.Unlock()
	if dir == nil || gone {
		return nil, "", unix.ESTALE
	}
	d, err := t.hold(dir)
	return d, name, err
}
