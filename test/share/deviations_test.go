package share

import (
	"slices"
	"strings"
)

// deviations are what ext4 has and a share has not, each with its reason.
var deviations = []struct {
	targets string // none means all
	cases   []string
	why     string
}{
	{"", []string{"sparse/a range is collapsed", "sparse/a range is inserted"}, "FUSE in the guest's kernel knows neither (fuse_file_fallocate)"},
	{"", []string{"xattr/an access control list"}, "attributes of the system mean something to the host's kernel: none of a guest's reach it"},
	{"", []string{"xattr/a program has capabilities", "xattr/trusted is for root"}, "the same holds for those of security and of trusted"},
	{"overlay", []string{"link/a write through one of two names that were there", "rename/over one of two names"},
		"names of one file below part when the file is copied up, as in overlayfs"},
	{"always", []string{"sparse/seek a hole from the start", "sparse/seek a hole from within", "sparse/seek data from the last hole", "sparse/seek data from the start"},
		"with writeback the guest's kernel asks before it has written: a file without holes is what it may say"},
	{"always", []string{"sparse/a hole is punched", "stat/blocks grow with what is written"}, "with writeback the guest's kernel asks for blocks again when a file is closed"},
	{"always", []string{"io/a file is too large", "io/syncfs"}, "with writeback the host refuses when it is asked to write, which is later, and syncfs tells of it"},
}

// deviation says why a target may fail a case; nothing if it may not.
func deviation(target, name string) string {
	for _, d := range deviations {
		if (d.targets == "" || strings.Contains(d.targets, target)) && slices.Contains(d.cases, name) {
			return d.why
		}
	}
	return ""
}
