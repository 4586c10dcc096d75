package image

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// ReadModule returns the content of a module file, unpacked: a kernel without module decompression can load it then.
func ReadModule(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := unpacker(file, f)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", file, err)
	}
	data, err := io.ReadAll(io.LimitReader(r, maxModuleBytes+1))
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", file, err)
	}
	if len(data) > maxModuleBytes {
		return nil, fmt.Errorf("module %s is larger than %d bytes", file, maxModuleBytes)
	}
	return data, nil
}

func unpacker(name string, r io.Reader) (io.Reader, error) {
	switch {
	case strings.HasSuffix(name, ".ko"):
		return r, nil
	case strings.HasSuffix(name, ".ko.gz"):
		return gzip.NewReader(r)
	case strings.HasSuffix(name, ".ko.xz"):
		return xz.ReaderConfig{DictCap: 8 << 20}.NewReader(r)
	case strings.HasSuffix(name, ".ko.zst"):
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxModuleBytes))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("unknown compression")
}

// unpackedName is the name of a module once it is unpacked.
func unpackedName(file string) string {
	return file[:strings.LastIndex(file, ".ko")] + ".ko"
}
