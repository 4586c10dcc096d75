package config

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns the source in canonical form. A source that does not parse is not touched: the diagnostics say why. A name
// that ends in .json is JSON syntax, and is indented.
func Format(src []byte, filename string) ([]byte, Diagnostics) {
	files := newFileSet(filename)
	if len(src) > maxFileBytes {
		return nil, newDiagnostics(hcl.Diagnostics{nowhere("File too large", "%s is over %s.", filename, formatSize(maxFileBytes))}, files, nil)
	}
	file, diags := parseSource(src, filename)
	if file == nil {
		file = &hcl.File{Bytes: src}
	}
	files.parsed[filename] = file
	if diags.HasErrors() {
		return nil, newDiagnostics(diags, files, nil)
	}
	if !strings.HasSuffix(filename, ".json") {
		return hclwrite.Format(src), nil
	}
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(src), "", "  "); err != nil {
		return nil, newDiagnostics(hcl.Diagnostics{nowhere("Invalid JSON", "%s: %v.", filename, err)}, files, nil)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
