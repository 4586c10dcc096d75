//go:build !linux

package layer

import (
	"context"
	"errors"

	"github.com/voidbox-run/voidbox/core/image/erofs"
)

// ReadDirectory is for hosts whose files have what Linux files have.
func ReadDirectory(context.Context, string, *erofs.Appender, *Budget) (*Tree, error) {
	return nil, errors.New("a directory can be made an image on Linux only; name an OCI layout instead")
}
