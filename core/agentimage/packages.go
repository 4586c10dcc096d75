package agentimage

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// suite is the Debian that images of packages alone are made of.
const suite = "bookworm"

// Packages is the recipe of an image that is nothing but a Debian with packages. Lists of the same packages have one name.
func Packages(names ...string) Recipe {
	r := Recipe{Title: "a Debian of packages", Version: suite, Licence: "those of the packages", Suite: suite}.With(names...)
	sum := sha256.Sum256([]byte(strings.Join(r.Debian, ",")))
	r.Name = "packages-" + hex.EncodeToString(sum[:8])
	return r
}
