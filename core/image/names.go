package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"
)

// name is the record by which the cache knows which image a name led to last.
type name struct {
	Name   string    `json:"name"`
	ID     string    `json:"id"`
	Digest string    `json:"digest,omitempty"`
	Pulled time.Time `json:"pulled"`
}

func (c *Cache) namesDir() string { return filepath.Join(c.dir, "images", ".names") }

func (c *Cache) nameFile(n string) string {
	sum := sha256.Sum256([]byte(n))
	return filepath.Join(c.namesDir(), hex.EncodeToString(sum[:16])+".json")
}

// named returns the image of a name that the cache knows, nil where it does not.
func (c *Cache) named(text string) (*Image, error) {
	n, err := readName(c.nameFile(text))
	if err != nil || n.Name != text {
		return nil, nil
	}
	img, err := readImage(filepath.Join(c.dir, imageKind, imageKey(n.ID)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return img, err
}

func readName(path string) (name, error) {
	var n name
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &n)
	}
	return n, err
}

// setName writes a record in one step, so that nobody reads half of it.
func (c *Cache) setName(text string, img *Image) error {
	old, err := readName(c.nameFile(text))
	if err == nil && old.Name == text && old.ID == img.ID && old.Digest == img.Digest {
		return nil
	}
	raw, err := json.Marshal(name{Name: text, ID: img.ID, Digest: img.Digest, Pulled: time.Now().UTC()})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.namesDir(), 0o755); err != nil {
		return c.explain(err)
	}
	f, err := os.CreateTemp(c.namesDir(), "new-")
	if err != nil {
		return c.explain(err)
	}
	_, err = f.Write(raw)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.nameFile(text))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return c.explain(err)
}

// names returns all records, by name.
func (c *Cache) names() ([]name, error) {
	files, err := filepath.Glob(filepath.Join(c.namesDir(), "*.json"))
	if err != nil {
		return nil, err
	}
	var list []name
	for _, file := range files {
		if n, err := readName(file); err == nil {
			list = append(list, n)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}
