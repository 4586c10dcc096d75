package machine

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// AddEntropy gives the kernel's random number generator bytes that nobody else knows, and credits them, so that nothing in
// the guest waits for entropy. See random(4), RNDADDENTROPY.
func AddEntropy(seed []byte) error {
	if len(seed) == 0 {
		return nil
	}
	f, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("seed the random number generator: %w", err)
	}
	defer f.Close()
	// struct rand_pool_info: entropy in bits, size in bytes, the bytes.
	info := binary.NativeEndian.AppendUint32(nil, uint32(len(seed)*8))
	info = binary.NativeEndian.AppendUint32(info, uint32(len(seed)))
	info = append(info, seed...)
	// The kernel reads the header and as many bytes as it says, which is the length of info. The slice is kept alive by the
	// conversion in the argument list of the call.
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info[0])))
	clear(info)
	if errno != 0 {
		return fmt.Errorf("seed the random number generator: %w", errno)
	}
	return nil
}
