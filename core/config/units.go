package config

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// sizeUnits are the units of a size. KB and its like are powers of 1000, KiB and its like powers of 1024.
var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"B", 1},
}

// maxSize bounds every size: more is a typing error.
const maxSize = 1 << 50

// ParseSize returns the bytes of a size such as "512MiB" or "1.5GB". A bare number is bytes.
func ParseSize(text string) (uint64, error) {
	number, unit := strings.TrimSpace(text), int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	if strings.Trim(number, "0123456789.") != "" || number == "" || len(number) > 30 {
		return 0, fmt.Errorf("%q is not a size; write a number and a unit, such as \"512MiB\" or \"2GB\"", text)
	}
	rat, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, fmt.Errorf("%q is not a size; write a number and a unit, such as \"512MiB\" or \"2GB\"", text)
	}
	rat.Mul(rat, new(big.Rat).SetInt64(unit))
	if !rat.IsInt() {
		return 0, fmt.Errorf("%q is not a whole number of bytes", text)
	}
	if rat.Cmp(new(big.Rat).SetInt64(maxSize)) > 0 {
		return 0, fmt.Errorf("%q is more than 1024 TiB", text)
	}
	return rat.Num().Uint64(), nil
}

// sizeValue reads a size from a string or number.
func sizeValue(v cty.Value) (uint64, error) {
	switch v.Type() {
	case cty.String:
		return ParseSize(v.AsString())
	case cty.Number:
		f := v.AsBigFloat()
		if !f.IsInt() || f.Sign() < 0 || f.Cmp(big.NewFloat(maxSize)) > 0 {
			return 0, fmt.Errorf("%s is not a number of bytes", f.Text('g', 10))
		}
		n, _ := f.Uint64()
		return n, nil
	}
	return 0, fmt.Errorf("a size is a string such as \"512MiB\", or a number of bytes, not %s", v.Type().FriendlyName())
}

// formatSize writes bytes in the largest unit that divides them.
func formatSize(n uint64) string {
	for i := 3; i >= 0; i-- {
		if u := sizeUnits[i]; n >= uint64(u.bytes) && n%uint64(u.bytes) == 0 {
			return fmt.Sprintf("%d%s", n/uint64(u.bytes), u.suffix)
		}
	}
	return fmt.Sprintf("%dB", n)
}

// parseDuration reads a positive duration such as "30s" or "1h30m".
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write a number and a unit, such as \"30s\", \"5m\" or \"1h30m\"", text)
	}
	if d <= 0 {
		return 0, fmt.Errorf("a duration must be more than zero, not %q", text)
	}
	return d, nil
}
