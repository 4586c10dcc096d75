package programs

import "fmt"

// maxDiff bounds the table of the longest common subsequence, which has the product of the lengths.
const maxDiff = 4000

// diff prints a unified diff of the whole files, or tells only that they differ (-q).
func diff(p *Proc) int {
	o, ok := p.parse("uqwbNrs", map[string]string{"brief": "q", "unified": "u"})
	if !ok || len(o.rest) != 2 {
		p.errorf("expects two files")
		return 2
	}
	a, s1 := p.readLines(o.rest[:1])
	b, s2 := p.readLines(o.rest[1:])
	if s1+s2 > 0 {
		return 2
	}
	changes := compare(a, b)
	same := true
	for _, c := range changes {
		same = same && c.mark == ' '
	}
	switch {
	case same:
		return 0
	case o.has("q") || len(a) > maxDiff || len(b) > maxDiff:
		p.printf("Files %s and %s differ\n", o.rest[0], o.rest[1])
		return 1
	}
	w := p.lines()
	defer w.Flush()
	fmt.Fprintf(w, "--- %s\n+++ %s\n@@ -1,%d +1,%d @@\n", o.rest[0], o.rest[1], len(a), len(b))
	for _, c := range changes {
		fmt.Fprintf(w, "%c%s\n", c.mark, c.line)
	}
	return 1
}

type change struct {
	mark byte
	line string
}

// compare lines up two files along their longest common subsequence.
func compare(a, b []string) []change {
	var out []change
	if len(a) > maxDiff || len(b) > maxDiff {
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				return []change{{'-', a[i]}}
			}
		}
		if len(a) != len(b) {
			return []change{{'-', ""}}
		}
		return nil
	}
	common := make([][]int32, len(a)+1)
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, change{' ', a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, change{'-', a[i]})
			i++
		default:
			out = append(out, change{'+', b[j]})
			j++
		}
	}
	return out
}
