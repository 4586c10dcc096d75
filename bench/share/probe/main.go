//go:build linux

// Command probe runs in the guest and measures two mounts of one host directory against each other: each job on the one, then on
// the other, in an order that changes with every round, so that whatever else the machine does meets both.
//
//	probe -ours /mnt/ours -peer /mnt/peer -rounds 9
//
// It is started as root, to be able to drop the guest's caches before each measurement, and works as the user that the guest's
// commands run as. Results go to standard output, as JSON; package main of bench/share reads them.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// side is one of the two mounts.
type side struct {
	dir    string // where it is mounted
	own    string // a directory that only this side writes in
	values []float64

	treeDirs, treeFiles int // what dir/tree holds: d0/f0 and so on
}

// Result is what one job took on both.
type Result struct {
	Job        string
	Unit       string
	Ours, Peer []float64
}

func main() {
	log.SetFlags(0)
	ours := flag.String("ours", "", "mount of ours")
	peer := flag.String("peer", "", "mount of the peer's")
	rounds := flag.Int("rounds", 9, "measurements of each side")
	user := flag.Int("user", 1000, "whom the work is done as")
	tree := flag.String("tree", "20x100", "directories of the tree, and files in each")
	only := flag.String("only", "", "leave out jobs whose names do not have this in them")
	flag.Parse()
	runtime.LockOSThread() // the user is the thread's, see asUser
	a := side{dir: *ours, own: filepath.Join(*ours, "ours")}
	if _, err := fmt.Sscanf(*tree, "%dx%d", &a.treeDirs, &a.treeFiles); err != nil {
		log.Fatalf("probe: -tree %s: %v", *tree, err)
	}
	b := a
	b.dir, b.own = *peer, filepath.Join(*peer, "peer")
	if err := run(a, b, *rounds, *user, *only); err != nil {
		log.Fatal("probe: ", err)
	}
}

func run(ours, peer side, rounds, user int, only string) error {
	var results []Result
	for _, j := range jobs {
		if !strings.Contains(j.name, only) {
			continue
		}
		a, b := ours, peer
		for round := range rounds + 1 { // the first one warms the host's caches
			order := []*side{&a, &b}
			if round%2 == 1 {
				order = []*side{&b, &a}
			}
			for _, s := range order {
				value, err := measure(j, s, user)
				if err != nil {
					return fmt.Errorf("%s on %s: %w", j.name, s.dir, err)
				}
				if round > 0 {
					s.values = append(s.values, value)
				}
			}
		}
		fmt.Fprintf(os.Stderr, "%s (%s): ours %.4g, peer %.4g\n", j.name, j.unit, a.values, b.values)
		results = append(results, Result{j.name, j.unit, a.values, b.values})
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

func measure(j job, s *side, user int) (float64, error) {
	if err := dropCaches(); err != nil {
		return 0, err
	}
	restore, err := asUser(user)
	if err != nil {
		return 0, err
	}
	defer restore()
	return j.do(s)
}

// settle is for what a guest tells servers that it has forgotten, of which it does not hear when they have dealt with it.
const settle = 100 * time.Millisecond

// dropCaches makes the guest forget what it has read, names and attributes too.
func dropCaches() error {
	unix.Sync()
	err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
	time.Sleep(settle)
	return err
}

// asUser lets the calling thread's requests of files come from a user, and returns what undoes it.
func asUser(id int) (restore func(), err error) {
	if _, err := unix.SetfsgidRetGid(id); err != nil {
		return nil, err
	}
	if _, err := unix.SetfsuidRetUid(id); err != nil {
		return nil, err
	}
	return func() {
		_ = unix.Setfsuid(0)
		_ = unix.Setfsgid(0)
	}, nil
}
