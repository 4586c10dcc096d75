package observe

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ArtefactsDir is where the files of a stage stand in a run directory, each by its last name.
func ArtefactsDir(runDir, stage string) string {
	return filepath.Join(runDir, "artefacts", fileName(stage), "files")
}

// Digest is that of a directory with all that is below it: names, kinds, modes and contents, no times and no owners.
func Digest(dir string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	sum := sha256.New()
	err = fs.WalkDir(root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%q %v\n", path, info.Mode())
		switch {
		case info.Mode().IsRegular():
			return addContent(sum, root, path, info.Size())
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := root.Readlink(path)
			fmt.Fprintf(sum, "%q\n", target)
			return err
		}
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

func addContent(sum hash.Hash, root *os.Root, path string, size int64) error {
	f, err := root.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(sum, f)
	if err == nil && n != size {
		err = fmt.Errorf("%s changes while it is read", path)
	}
	fmt.Fprintf(sum, "\n%d\n", n)
	return err
}
