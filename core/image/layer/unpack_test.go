package layer_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/core/image/erofs"
	"github.com/voidbox-run/voidbox/core/image/layer"
	"github.com/voidbox-run/voidbox/internal/testimage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func packGzip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func packZstd(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

func readPacked(t testing.TB, packed []byte, diffID string, b *layer.Budget) error {
	t.Helper()
	a := erofs.NewWriter(&memory{}).NewAppender()
	_, err := layer.ReadPacked(t.Context(), bytes.NewReader(packed), int64(len(packed)), diffID, a, b)
	return err
}

func diffID(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func TestEveryPacking(t *testing.T) {
	archive := testimage.Tar(t, testimage.File("a", "x"), testimage.File("b", string(make([]byte, 3<<20))))
	archive = append(archive, make([]byte, 700<<10)...) // padding belongs to what the digest covers
	for name, packed := range map[string][]byte{
		"plain": archive, "gzip": packGzip(t, archive), "zstd": packZstd(t, archive),
		"several members": append(packGzip(t, archive[:1000]), packGzip(t, archive[1000:])...),
	} {
		if err := readPacked(t, packed, diffID(archive), &layer.Budget{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var digest *layer.DigestError
		if err := readPacked(t, packed, diffID(nil), &layer.Budget{}); !errors.As(err, &digest) {
			t.Errorf("%s, with another digest: %v", name, err)
		}
	}
}

func TestDamagedPacking(t *testing.T) {
	archive := testimage.Tar(t, testimage.File("a", string(bytes.Repeat([]byte("voidbox "), 1<<17))))
	flipped := packGzip(t, archive)
	flipped[len(flipped)/2] ^= 0x55
	for name, packed := range map[string][]byte{
		"cut gzip":        packGzip(t, archive)[:500],
		"cut zstd":        packZstd(t, archive)[:60],
		"cut header":      {0x1f, 0x8b, 8},
		"flipped bits":    flipped,
		"zstd of nothing": {0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff, 0xff},
		"not an archive":  bytes.Repeat([]byte("not a tar archive "), 1000),
	} {
		var invalid *layer.InvalidError
		if err := readPacked(t, packed, diffID(archive), &layer.Budget{}); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}

// zeroes is an archive of a file of zeros, which packs by a thousand.
func zeroes(t *testing.T, size int) []byte {
	return testimage.Tar(t, testimage.File("zeros", string(make([]byte, size))))
}

func TestZipBomb(t *testing.T) {
	bomb := packGzip(t, zeroes(t, 64<<20))
	var limit *layer.LimitError
	if err := readPacked(t, bomb, "", &layer.Budget{Bytes: 10 << 20}); !errors.As(err, &limit) {
		t.Errorf("beyond the limit: %v", err)
	}
	// Out of proportion, though within the limit of an image. What is out of proportion but small is let through.
	b := &layer.Budget{Bytes: 1 << 40, Ratio: 2}
	r := b.Reader(io.LimitReader(neverEnding{}, 1<<40), 1<<20)
	if n, err := io.Copy(io.Discard, r); !errors.As(err, &limit) || n < 500<<20 || n > 600<<20 {
		t.Errorf("out of proportion: %d bytes, %v", n, err)
	}
}

type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { return len(p), nil }
