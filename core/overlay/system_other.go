//go:build !linux

package overlay

import (
	"io/fs"
	"os"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/share"
)

func lock(string, bool) (release func(), err error) {
	return nil, errdef.New(errdef.ErrUnsupported, "overlays need Linux")
}

func hollow(fs.FileInfo) bool { return false }

func (d *diff) conflicts(*os.File, string, string) (bool, error) { return false, nil }

func (d *diff) noteApplied(string) error { return nil }

func recordOf(*os.File, string) (share.Record, error) {
	return share.Record{}, errdef.New(errdef.ErrUnsupported, "overlays need Linux")
}
