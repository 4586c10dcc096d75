//go:build !linux

package procusage

// Usage knows nothing: this system has no /proc.
type Usage struct{}

// Open returns a Usage that adds nothing.
func Open(int) *Usage { return &Usage{} }

// Add does nothing.
func (*Usage) Add(map[string]uint64) {}

// Close does nothing.
func (*Usage) Close() {}
