package canary

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
)

// Files returns those below a directory that hold the secret, and how many it has looked at.
func Files(dir, secret string) (found []string, looked int, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		looked++
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(secret)) {
			found = append(found, path)
		}
		return err
	})
	return found, looked, err
}
