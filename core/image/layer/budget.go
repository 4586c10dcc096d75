package layer

import (
	"fmt"
	"io"
	"sync/atomic"
)

// Limits of an image that nobody should meet by accident.
const (
	DefaultBytes = 64 << 30
	DefaultFiles = 2 << 20
	// DefaultRatio is how many bytes a layer may unpack to for each that it has packed, once it has unpacked to freeBytes. Text
	// packs by ten; what packs by hundreds is a run of zeros.
	DefaultRatio = 200
	freeBytes    = 512 << 20
	// maxMetadata bounds names, targets and extended attributes, which stay in memory until the end.
	maxMetadata = 1 << 30
)

// Budget bounds an image as a whole. Layers that are read side by side share one.
type Budget struct {
	Bytes int64 // unpacked; 0 means DefaultBytes
	Files int64 // 0 means DefaultFiles
	Ratio int64 // 0 means DefaultRatio

	bytes, files, metadata atomic.Int64
}

// LimitError says that an image is larger than any should be.
type LimitError struct{ What string }

func (e *LimitError) Error() string { return "the image " + e.What }

func orDefault(n, fallback int64) int64 {
	if n == 0 {
		return fallback
	}
	return n
}

// content notes n bytes of unpacked content.
func (b *Budget) content(n int64) error {
	limit := orDefault(b.Bytes, DefaultBytes)
	if n > limit || b.bytes.Add(n) > limit {
		return &LimitError{fmt.Sprintf("unpacks to more than %d bytes", limit)}
	}
	return nil
}

// file notes a file and what is remembered of it.
func (b *Budget) file(metadata int) error {
	if limit := orDefault(b.Files, DefaultFiles); b.files.Add(1) > limit {
		return &LimitError{fmt.Sprintf("has more than %d files", limit)}
	}
	if b.metadata.Add(int64(metadata)) > maxMetadata {
		return &LimitError{fmt.Sprintf("has more than %d bytes of names and attributes", maxMetadata)}
	}
	return nil
}

// Reader passes on what r unpacks to, as long as that is in proportion to the packed bytes that went in.
func (b *Budget) Reader(r io.Reader, packed int64) io.Reader {
	limit := orDefault(b.Bytes, DefaultBytes)
	if ratio := orDefault(b.Ratio, DefaultRatio); packed < limit/ratio {
		limit = max(packed*ratio, min(limit, freeBytes))
	}
	return &boundedReader{r: r, left: limit, limit: limit, packed: packed}
}

type boundedReader struct {
	r                   io.Reader
	left, limit, packed int64
}

func (r *boundedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return 0, &LimitError{fmt.Sprintf("has a layer of %d bytes that unpacks to more than %d", r.packed, r.limit)}
	}
	return n, err
}
