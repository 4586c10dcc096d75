package config

import (
	"sort"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// origin is the mark of a sensitive value: the address that it comes from, such as secret.github. Keeping the address, not
// only the fact, lets messages name it and lets `expose` allow it.
type origin struct{ addr string }

// origins returns the addresses of all sensitive values that v is made of, sorted.
func origins(v cty.Value) []string {
	_, marks := v.UnmarkDeep()
	var addrs []string
	for m := range marks {
		if o, ok := m.(origin); ok {
			addrs = append(addrs, o.addr)
		}
	}
	sort.Strings(addrs)
	return addrs
}

// notExposed returns the origins of v that are not among the exposed ones.
func notExposed(v cty.Value, exposed map[string]bool) []string {
	var addrs []string
	for _, addr := range origins(v) {
		if !exposed[addr] {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// sensitiveLeaves calls visit for each known string that is sensitive or part of something sensitive.
func sensitiveLeaves(v cty.Value, visit func(addr, text string)) {
	addrs := origins(v)
	if len(addrs) == 0 {
		return
	}
	_, paths := v.UnmarkDeepWithPaths()
	plain, _ := v.UnmarkDeep()
	for _, p := range paths {
		part, err := p.Path.Apply(plain)
		if err != nil {
			continue
		}
		name := strings.Join(markAddrs(p.Marks), ", ")
		_ = cty.Walk(part, func(_ cty.Path, leaf cty.Value) (bool, error) {
			if leaf.Type() == cty.String && leaf.IsKnown() && !leaf.IsNull() {
				visit(name, leaf.AsString())
			}
			return true, nil
		})
	}
}

func markAddrs(marks cty.ValueMarks) []string {
	var addrs []string
	for m := range marks {
		if o, ok := m.(origin); ok {
			addrs = append(addrs, o.addr)
		}
	}
	sort.Strings(addrs)
	return addrs
}
