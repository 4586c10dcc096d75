package lab

import (
	"flag"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ours are the flags of a test binary that the one in the lab does not get: they choose tests, which we do, or name files of
// the host.
var ours = map[string]bool{
	"test.run": true, "test.bench": true, "test.timeout": true, "test.list": true, "test.testlogfile": true, "test.outputdir": true,
	"test.coverprofile": true, "test.gocoverdir": true, "test.cpuprofile": true, "test.memprofile": true, "test.blockprofile": true,
	"test.mutexprofile": true, "test.trace": true, "test.fuzz": true, "test.fuzzcachedir": true, "test.fuzzworker": true,
	"test.artifacts": true,
}

// testFlags returns the command line of the test binary in the lab: our own, but for the choice of tests.
func testFlags(n *notes, timeout time.Duration) []string {
	args := []string{"-test.run=" + choose(n.tests), "-test.timeout=" + timeout.String()}
	if len(n.benchmarks) > 0 {
		args = append(args, "-test.bench="+choose(n.benchmarks))
	}
	flag.Visit(func(f *flag.Flag) {
		if !ours[f.Name] {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	return append(args, flag.Args()...)
}

// choose returns the pattern of -test.run that matches just the named tests. A pattern is alternatives of patterns for each
// level of subtests. One that matches a test runs its subtests, too.
func choose(names []string) string {
	if len(names) == 0 {
		return "^$"
	}
	names = slices.Clone(names)
	slices.Sort(names) // -test.count runs, and notes, a test several times
	var alternatives []string
	for _, name := range slices.Compact(names) {
		levels := strings.Split(name, "/")
		for i, level := range levels {
			levels[i] = "^" + regexp.QuoteMeta(level) + "$"
		}
		alternatives = append(alternatives, strings.Join(levels, "/"))
	}
	return strings.Join(alternatives, "|")
}
