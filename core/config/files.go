package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
)

// Bounds on files. They are far above what people write, and low enough that a hostile file costs little.
const (
	maxFileBytes = 1 << 20
	maxFiles     = 200
)

// LockFileName is the lock file's name. It lies beside the configuration and is no part of it.
const LockFileName = "voidbox.lock.hcl"

// fileSet holds the files of one load.
type fileSet struct {
	path    string
	dir     string // of the configuration, absolute
	parsed  map[string]*hcl.File
	configs []*hcl.File
}

func newFileSet(path string) *fileSet {
	return &fileSet{path: path, parsed: map[string]*hcl.File{}}
}

func (s *fileSet) source() *Source {
	src := &Source{Path: s.path, Dir: s.dir, Files: map[string][]byte{}}
	for name, file := range s.parsed {
		src.Files[name] = file.Bytes
	}
	return src
}

// load reads and parses the configuration.
func (s *fileSet) load() hcl.Diagnostics {
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return hcl.Diagnostics{nowhere("No such file", "%s does not exist. Name a file that ends in .hcl or .hcl.json, or a directory of them.", s.path)}
	}
	if err != nil {
		return hcl.Diagnostics{nowhere("Cannot read the configuration", "%v", err)}
	}
	names := []string{s.path}
	dir := filepath.Dir(s.path)
	if info.IsDir() {
		dir = s.path
		var diag *hcl.Diagnostic
		if names, diag = configFiles(s.path); diag != nil {
			return hcl.Diagnostics{diag}
		}
	}
	if s.dir, err = filepath.Abs(dir); err != nil {
		return hcl.Diagnostics{nowhere("Cannot read the configuration", "%v", err)}
	}
	var diags hcl.Diagnostics
	for _, name := range names {
		file, fileDiags := s.parse(name)
		diags = append(diags, fileDiags...)
		if file != nil {
			s.configs = append(s.configs, file)
		}
	}
	return diags
}

// configFiles lists the configuration files of a directory, in order. Lock and variable files are none.
func configFiles(dir string) ([]string, *hcl.Diagnostic) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nowhere("Cannot read the configuration", "%v", err)
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		isConfig := strings.HasSuffix(name, ".hcl") || strings.HasSuffix(name, ".hcl.json")
		isOther := name == LockFileName || strings.HasSuffix(name, ".vars.hcl") || strings.HasSuffix(name, ".vars.hcl.json") || strings.HasPrefix(name, ".")
		if isConfig && !isOther && !e.IsDir() {
			names = append(names, filepath.Join(dir, name))
		}
	}
	if len(names) == 0 {
		return nil, nowhere("No configuration", "The directory %s holds no file that ends in .hcl or .hcl.json.", dir)
	}
	if len(names) > maxFiles {
		return nil, nowhere("Too many files", "The directory %s holds %d configuration files; %d is the limit.", dir, len(names), maxFiles)
	}
	sort.Strings(names)
	return names, nil
}

// parse reads and parses one file and remembers its source for diagnostics.
func (s *fileSet) parse(name string) (*hcl.File, hcl.Diagnostics) {
	src, err := readBounded(name, maxFileBytes)
	if err != nil {
		return nil, hcl.Diagnostics{nowhere("Cannot read a file", "%v.", err)}
	}
	file, diags := parseSource(src, name)
	if file == nil {
		file = &hcl.File{Bytes: src}
		s.parsed[name] = file
		return nil, diags
	}
	s.parsed[name] = file
	return file, diags
}

// parseSource parses a file by the syntax that its name tells. Sources that would exhaust the parser's or the evaluator's stack
// are refused first.
func parseSource(src []byte, name string) (*hcl.File, hcl.Diagnostics) {
	if strings.HasSuffix(name, ".json") {
		if diag := boundJSON(src, name); diag != nil {
			return nil, hcl.Diagnostics{diag}
		}
		return hcljson.Parse(src, name)
	}
	if diag := boundNative(src, name); diag != nil {
		return nil, hcl.Diagnostics{diag}
	}
	return hclsyntax.ParseConfig(src, name, hcl.InitialPos)
}

// errTooLarge says that a file is over its limit.
var errTooLarge = errors.New("file too large")

// readBounded reads a regular file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	src, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(src)) > limit {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errTooLarge}
	}
	return src, nil
}
