package pluginhost

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

func identify(path string, st *unix.Stat_t) fileID {
	return fileID{
		Path: path, Dev: uint64(st.Dev), Ino: st.Ino, Size: st.Size,
		Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(),
	}
}

// seal copies content into the host's private directory and returns the copy's path. There is no memory to seal here; what is
// left is that nobody but the user can reach the copy.
func seal(dir, name string, content io.Reader) (*os.File, string, error) {
	f, err := os.CreateTemp(dir, name+"-")
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	if _, err := io.Copy(f, content); err != nil {
		return nil, "", err
	}
	if err := f.Chmod(0o500); err != nil {
		return nil, "", err
	}
	return nil, f.Name(), nil
}
