package layer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/core/image/erofs"
)

// Tree is the file system that layers make.
type Tree struct {
	root   *erofs.Node
	budget *Budget
}

// NewTree returns a tree of a root directory alone. The budget pays for directories that no layer has, but names lead through.
func NewTree(b *Budget) *Tree { return &Tree{root: newDir(), budget: b} }

// Root is the tree itself.
func (t *Tree) Root() *erofs.Node { return t.root }

func newDir() *erofs.Node {
	return &erofs.Node{Mode: erofs.Dir | 0o755, Children: map[string]*erofs.Node{}}
}

// Apply puts a layer above those that were applied before.
func (t *Tree) Apply(ctx context.Context, l *Layer) error {
	for _, c := range l.changes {
		switch c.kind {
		case hide:
			t.hide(c.path)
		case opaque:
			if dir := t.find(c.path); dir != nil && dir.IsDir() {
				clear(dir.Children)
			}
		}
	}
	for _, c := range l.changes {
		err := context.Cause(ctx)
		if err != nil {
			return err
		}
		switch c.kind {
		case put:
			err = t.put(c.path, c.node)
		case link:
			err = t.link(c.path, c.target)
		}
		if err != nil {
			return damaged(strings.Join(c.path, "/"), err)
		}
	}
	return nil
}

func (t *Tree) hide(path []string) {
	if len(path) == 0 {
		return
	}
	w := walk{t: t}
	if dir, err := w.to(path[:len(path)-1]); err == nil {
		delete(dir.Children, path[len(path)-1])
	}
}

// put gives a name to a node. A directory above a directory keeps what is in it.
func (t *Tree) put(path []string, n *erofs.Node) error {
	if len(path) == 0 {
		n.Children = t.root.Children
		t.root = n
		return nil
	}
	dir, err := t.parent(path)
	if err != nil {
		return err
	}
	name := path[len(path)-1]
	if n.IsDir() {
		n.Children = map[string]*erofs.Node{}
		if old := dir.Children[name]; old != nil && old.IsDir() {
			n.Children = old.Children
		}
	}
	dir.Children[name] = n
	return nil
}

func (t *Tree) link(path, target []string) error {
	n := t.find(target)
	if n == nil {
		return fmt.Errorf("a hard link to %q, which does not exist", strings.Join(target, "/"))
	}
	if n.IsDir() {
		return fmt.Errorf("a hard link to %q, a directory", strings.Join(target, "/"))
	}
	dir, err := t.parent(path)
	if err != nil {
		return err
	}
	dir.Children[path[len(path)-1]] = n
	return nil
}

// find returns what a name leads to, nil where there is nothing. A symbolic link at its end is itself.
func (t *Tree) find(path []string) *erofs.Node {
	if len(path) == 0 {
		return t.root
	}
	w := walk{t: t}
	dir, err := w.to(path[:len(path)-1])
	if err != nil {
		return nil
	}
	return dir.Children[path[len(path)-1]]
}

// parent returns the directory that holds a name, made where it is missing.
func (t *Tree) parent(path []string) (*erofs.Node, error) {
	w := walk{t: t, create: true}
	return w.to(path[:len(path)-1])
}

// Resolve returns the file that a path leads to, links followed inside the tree; nil where there is none.
func (t *Tree) Resolve(path string) *erofs.Node {
	parts, err := split(path)
	if err != nil {
		return nil
	}
	w := walk{t: t}
	for range maxLinks {
		if len(parts) == 0 {
			return t.root
		}
		dir, err := w.to(parts[:len(parts)-1])
		if err != nil {
			return nil
		}
		n := dir.Children[parts[len(parts)-1]]
		if n == nil || n.Type() != erofs.Symlink {
			return n
		}
		parts = w.through(n.Target)
	}
	return nil
}

// Bounds of a walk.
const (
	maxLinks = 40 // as Linux follows (MAXSYMLINKS)
	// maxWalk bounds the names that links can add up to.
	maxWalk = 8 << 10
)

// walk goes down a path as a process would whose root is the tree's.
type walk struct {
	t      *Tree
	create bool // make directories that are missing
	links  int
	at     []*erofs.Node // from the root to where it is
	names  []string      // of at, but for the root
}

var errNotThere = errors.New("does not exist")

// to returns the directory at path, links followed.
func (w *walk) to(path []string) (*erofs.Node, error) {
	w.at, w.names = append(w.at[:0], w.t.root), w.names[:0]
	rest := slices.Clone(path)
	for steps := 0; len(rest) > 0; steps++ {
		if steps > maxWalk || len(rest) > maxWalk {
			return nil, errors.New("leads through too many links")
		}
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..": // from a link; the root is its own parent
			w.up()
			continue
		}
		here := w.at[len(w.at)-1]
		next := here.Children[name]
		if next == nil {
			if !w.create {
				return nil, errNotThere
			}
			if len(name) > erofs.MaxName {
				return nil, fmt.Errorf("leads to a name of %d bytes", len(name))
			}
			if err := w.t.budget.file(256 + len(name)); err != nil {
				return nil, err
			}
			next = newDir()
			here.Children[name] = next
		}
		switch next.Type() {
		case erofs.Dir:
			w.at, w.names = append(w.at, next), append(w.names, name)
		case erofs.Symlink:
			if w.links++; w.links > maxLinks {
				return nil, errors.New("leads through too many links")
			}
			if strings.HasPrefix(next.Target, "/") {
				w.at, w.names = w.at[:1], w.names[:0]
			}
			rest = append(strings.Split(next.Target, "/"), rest...)
		default:
			return nil, fmt.Errorf("%q is not a directory", strings.Join(append(w.names, name), "/"))
		}
	}
	return w.at[len(w.at)-1], nil
}

func (w *walk) up() {
	if len(w.at) > 1 {
		w.at, w.names = w.at[:len(w.at)-1], w.names[:len(w.names)-1]
	}
}

// through returns where a link's target leads from the directory that the walk has come to, as a path from the root.
func (w *walk) through(target string) []string {
	path := slices.Clone(w.names)
	if strings.HasPrefix(target, "/") {
		path = nil
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			path = path[:max(0, len(path)-1)]
		default:
			path = append(path, part)
		}
	}
	return path
}

// Hidden returns the contents in layers that no name of the tree leads to.
func (t *Tree) Hidden(layers []*Layer) []*erofs.Content {
	seen := map[*erofs.Content]bool{}
	var mark func(n *erofs.Node)
	mark = func(n *erofs.Node) {
		if n.Content != nil {
			seen[n.Content] = true
		}
		for _, child := range n.Children {
			mark(child)
		}
	}
	mark(t.root)
	var hidden []*erofs.Content
	for _, l := range layers {
		for _, c := range l.changes {
			if c.node != nil && c.node.Content != nil && !seen[c.node.Content] {
				hidden = append(hidden, c.node.Content)
			}
		}
	}
	return hidden
}
