package image

import (
	"bytes"
	"fmt"
	"path"
	"strings"
)

// MaxBootConfig bounds a boot configuration, in bytes.
const MaxBootConfig = 16 << 20

// BootSegment returns the initramfs segment that carries a VM's boot configuration: a newc archive, padded to 512
// bytes, to be put behind the base segment. The configuration becomes [BootConfigPath], mode 0400, in a directory that
// only root may enter. It holds secrets, so the segment belongs in memory and in no file.
func BootSegment(config []byte) ([]byte, error) {
	if len(config) > MaxBootConfig {
		return nil, fmt.Errorf("the boot configuration has %d bytes, at most %d are allowed", len(config), MaxBootConfig)
	}
	name := strings.TrimPrefix(BootConfigPath, "/")
	var t tree
	t.dir(path.Dir(path.Dir(name)), 0o755, rootUser)
	t.dir(path.Dir(name), 0o700, rootUser)
	t.file(name, 0o400, config)
	var out bytes.Buffer
	err := t.write(&out)
	return out.Bytes(), err
}
