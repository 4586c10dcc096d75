package programs

import (
	"fmt"
	"io"
	"strings"
)

// dd copies blocks: if, of, bs, count, skip and seek are known.
func dd(p *Proc) int {
	v := map[string]string{"bs": "512", "count": "-1", "skip": "0", "seek": "0", "if": "-"}
	for _, a := range p.Args[1:] {
		key, value, _ := strings.Cut(a, "=")
		v[key] = value
	}
	n := map[string]int64{}
	for _, key := range []string{"bs", "count", "skip", "seek"} {
		var ok bool
		if n[key], ok = number(v[key]); !ok {
			p.errorf("invalid number: '%s'", v[key])
			return 1
		}
	}
	if n["bs"] <= 0 || n["bs"] > 16<<20 {
		p.errorf("block size must be 1 to 16M")
		return 1
	}
	in, err := p.open(v["if"])
	if err != nil {
		return p.fail(err)
	}
	defer in.Close()
	out := p.out()
	if v["of"] != "" {
		f, err := p.create(v["of"], false)
		if err != nil {
			return p.fail(err)
		}
		defer f.Close()
		if _, err := f.Seek(n["seek"]*n["bs"], io.SeekStart); err != nil {
			return p.fail(err)
		}
		out = f
	}
	if _, err := io.CopyN(io.Discard, in, n["skip"]*n["bs"]); err != nil && err != io.EOF {
		return p.fail(err)
	}
	var copied int64
	if n["count"] < 0 {
		copied, err = io.Copy(out, in)
	} else {
		copied, err = io.CopyN(out, in, n["count"]*n["bs"])
	}
	if err != nil && err != io.EOF {
		return p.fail(named(err, v["of"]))
	}
	if v["status"] != "none" {
		full, part := copied/n["bs"], min(copied%n["bs"], 1)
		fmt.Fprintf(p.Stderr, "%d+%d records in\n%d+%d records out\n%d bytes copied\n", full, part, full, part, copied)
	}
	return 0
}
