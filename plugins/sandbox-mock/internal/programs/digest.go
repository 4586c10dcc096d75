package programs

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

func base64Program(p *Proc) int {
	o, ok := p.parse("dw:", map[string]string{"decode": "d", "wrap": "w"})
	if !ok {
		return 1
	}
	return p.eachInput(o.rest, func(_ string, r io.Reader) error {
		b, err := p.readAll(r)
		if err != nil {
			return err
		}
		if o.has("d") {
			decoded, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(b), nil)))
			p.print(string(decoded))
			if err != nil {
				return fmt.Errorf("invalid input")
			}
			return nil
		}
		text := base64.StdEncoding.EncodeToString(b)
		width, _ := number(o.get("w", "76"))
		if width <= 0 {
			p.print(text)
			return nil
		}
		for len(text) > 0 {
			n := min(int(width), len(text))
			p.print(text[:n] + "\n")
			text = text[n:]
		}
		return nil
	})
}

func sum(algorithm func() hash.Hash) func(p *Proc) int {
	return func(p *Proc) int {
		return p.eachInput(p.Args[1:], func(name string, r io.Reader) error {
			h := algorithm()
			if _, err := io.Copy(h, r); err != nil {
				return err
			}
			p.printf("%s  %s\n", hex.EncodeToString(h.Sum(nil)), name)
			return nil
		})
	}
}
