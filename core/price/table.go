package price

import (
	"bytes"
	_ "embed" // prices.json
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

//go:embed prices.json
var builtin []byte

// maxFile bounds the user's file.
const maxFile = 4 << 20

// Rates are US dollars for a million tokens.
type Rates struct {
	Input      float64 `json:"input"`
	Output     float64 `json:"output"`
	CacheRead  float64 `json:"cache_read"`
	CacheWrite float64 `json:"cache_write"`
}

// Price is what a model costs. Requests that read more than Above tokens, cached ones too, cost Long.
type Price struct {
	Rates
	Above uint64 `json:"above,omitempty"`
	Long  *Rates `json:"long,omitempty"`
}

// List is what one vendor publishes.
type List struct {
	AsOf   string           `json:"as_of"`
	Source string           `json:"source"`
	Models map[string]Price `json:"models"`
}

// Table holds lists by name.
type Table struct {
	Lists map[string]List `json:"lists"`
}

// Builtin is the table that comes with voidbox.
func Builtin() Table {
	t, err := parse(builtin)
	if err != nil {
		panic("price: the built-in table: " + err.Error()) // a test has read it
	}
	return t
}

// Load returns the built-in table with the user's own file over it, if there is one.
func Load() (Table, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return Builtin(), nil // a user without a home has no file there
	}
	return load(filepath.Join(dir, "voidbox", "prices.json"))
}

func load(name string) (Table, error) {
	t := Builtin()
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	var text []byte
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	if err == nil {
		text, err = os.ReadFile(name)
	}
	var own Table
	if err == nil {
		own, err = parse(text)
	}
	if err != nil {
		return t, errdef.New(errdef.ErrInvalid, "the file of prices %s: %w", name, err).WithRemedy("mend it, or remove it to use the built-in prices")
	}
	for list, models := range own.Lists {
		merged := t.Lists[list]
		merged.Models = maps.Clone(merged.Models)
		if merged.Models == nil {
			merged.Models = map[string]Price{}
		}
		maps.Copy(merged.Models, models.Models)
		t.Lists[list] = merged
	}
	return t, nil
}

func parse(text []byte) (Table, error) {
	var t Table
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		offset := dec.InputOffset()
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			offset = syntax.Offset
		}
		return t, fmt.Errorf("line %d: %w", 1+bytes.Count(text[:min(int(offset), len(text))], []byte("\n")), err)
	}
	if t.Lists == nil {
		return t, errors.New(`it has no "lists"`)
	}
	for name, list := range t.Lists {
		for model, p := range list.Models {
			if !p.sane() {
				return t, fmt.Errorf("the price of %s in list %s is negative, or has only one of above and long", model, name)
			}
		}
	}
	return t, nil
}

func (p Price) sane() bool {
	ok := (p.Above == 0) == (p.Long == nil)
	for _, r := range []*Rates{&p.Rates, p.Long} {
		if r == nil {
			continue
		}
		for _, usd := range []float64{r.Input, r.Output, r.CacheRead, r.CacheWrite} {
			ok = ok && usd >= 0 && !math.IsInf(usd, 0)
		}
	}
	return ok
}

// dated is the day that names of frozen versions of a model end in.
var dated = regexp.MustCompile(`-20\d{2}-?\d{2}-?\d{2}$`)

// Find returns the price of a model in a list. A frozen version costs what its model does.
func (t Table) Find(list, model string) (Price, bool) {
	models := t.Lists[list].Models
	if p, ok := models[model]; ok {
		return p, true
	}
	p, ok := models[dated.ReplaceAllString(model, "")]
	return p, ok
}

// Cost is what one request costs.
func (p Price) Cost(u llm.Usage) float64 {
	rates := p.Rates
	if p.Long != nil && u.InputTokens+u.CacheReadTokens+u.CacheWriteTokens > p.Above {
		rates = *p.Long
	}
	const million = 1e6
	return (float64(u.InputTokens)*rates.Input + float64(u.OutputTokens)*rates.Output +
		float64(u.CacheReadTokens)*rates.CacheRead + float64(u.CacheWriteTokens)*rates.CacheWrite) / million
}
