//go:build linux

// Package filework works on a directory in all the ways that programs have, and knows of every byte what it has to be. It is what
// `endure share` runs, in a process of its own, on a directory that is shared.
//
// Each worker has a directory of its own and a model of it in memory. What it reads is compared with the model; the first
// difference ends everything.
package filework

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// worker does rounds, one after another. A round leaves nothing behind.
type worker struct {
	name  string
	round func(w *bench) error
}

var workers = []worker{
	{"writes", writeRound}, {"maps", mapRound}, {"renames", renameRound}, {"locks", lockRound}, {"trees", treeRound}, {"nameless", namelessRound},
	{"appends", appendRound},
}

// bench is where one worker works.
type bench struct {
	dir  string
	rand *rand.Rand
}

func (b *bench) at(name string) string { return filepath.Join(b.dir, name) }

// bytes returns n random bytes.
func (b *bench) bytes(n int) []byte {
	out := make([]byte, n)
	for i := 0; i < n; {
		for v, left := b.rand.Uint64(), 8; left > 0 && i < n; left-- {
			out[i] = byte(v)
			v >>= 8
			i++
		}
	}
	return out
}

// Run has all workers work in directories of their own below each of dirs until the time is up, and returns how many rounds of which
// kind there were.
func Run(ctx context.Context, dirs []string, end time.Time) (map[string]int64, error) {
	counts := make([]atomic.Int64, len(workers))
	group, ctx := errgroup.WithContext(ctx)
	for _, dir := range dirs {
		for i, w := range workers {
			b := &bench{dir: filepath.Join(dir, w.name), rand: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(i)))}
			if err := os.MkdirAll(b.dir, 0o755); err != nil {
				return nil, err
			}
			group.Go(func() error {
				for time.Now().Before(end) && ctx.Err() == nil {
					if err := w.round(b); err != nil {
						return fmt.Errorf("%s in %s: %w", w.name, dir, err)
					}
					counts[i].Add(1)
				}
				return nil
			})
		}
	}
	err := group.Wait()
	done := map[string]int64{}
	for i, w := range workers {
		done[w.name] = counts[i].Load()
	}
	return done, err
}

// errDiffers says that a file system has not kept what it was given.
var errDiffers = errors.New("other bytes came back")

func differs(what string, at int) error { return fmt.Errorf("%s, at %d: %w", what, at, errDiffers) }

// compare compares what a file holds with what it has to.
func compare(what string, got, want []byte) error {
	if len(got) != len(want) {
		return fmt.Errorf("%s has %d bytes in the place of %d: %w", what, len(got), len(want), errDiffers)
	}
	for i := range got {
		if got[i] != want[i] {
			return differs(what, i)
		}
	}
	return nil
}
