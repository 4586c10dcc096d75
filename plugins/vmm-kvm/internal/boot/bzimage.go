package boot

import (
	"math"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/cpu"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
)

// Fields of the setup header, which is at the same place in a bzImage and in struct boot_params (boot.rst, "The Real-Mode Kernel
// Header").
const (
	setupSects       = 0x1f1 // where the header begins
	setupSysSize     = 0x1f4 // in units of 16 bytes
	setupBootFlag    = 0x1fe
	setupJump        = 0x201 // the header ends so many bytes after 0x202
	setupMagic       = 0x202
	setupVersion     = 0x206
	setupLoader      = 0x210
	setupLoadFlags   = 0x211
	setupInitrd      = 0x218
	setupInitrdSize  = 0x21c
	setupCommandLine = 0x228
	setupInitrdMax   = 0x22c
	setupAlignment   = 0x230
	setupXLoadFlags  = 0x236
	setupCommandMax  = 0x238
	setupPreferred   = 0x258
	setupInitSize    = 0x260
	setupEnd         = 0x268 // of protocol 2.12
	setupSpace       = 0x290 // later headers may grow up to here

	magic           = "HdrS"
	bootFlag        = 0xaa55
	minVersion      = 0x020c // the first with xloadflags: Linux 3.8
	loadedHigh      = 1 << 0 // load flag: a bzImage, not a zImage
	entry64         = 1 << 0 // extended load flag: there is a 64-bit entry
	entry64Offset   = 0x200
	loaderUndefined = 0xff

	headSize = 4096 // of a file, enough for either format's header
)

func isBzImage(head []byte) bool {
	return len(head) >= setupVersion && string(head[setupMagic:setupVersion]) == magic
}

// bzImage loads the part of a bzImage that runs in protected mode, which unpacks the kernel into the memory from its preferred
// address on.
func (l *loader) bzImage(f *file, head []byte) (kernel, error) {
	if len(head) < setupSpace {
		return kernel{}, truncated(f.size, setupSpace)
	}
	if err := checkSetup(head); err != nil {
		return kernel{}, err
	}
	sects := uint64(head[setupSects])
	if sects == 0 {
		sects = 4 // for compatibility with kernels before 1.3
	}
	offset, size := (sects+1)*512, uint64(le.Uint32(head[setupSysSize:]))*16
	if need := offset + size; need > uint64(f.size) {
		return kernel{}, truncated(f.size, need)
	}
	start, end, err := l.room(head, size)
	if err != nil {
		return kernel{}, err
	}
	if err := f.load(l.mem, start, int64(offset), size); err != nil {
		return kernel{}, err
	}
	return kernel{
		entry:       cpu.Entry{Protocol: cpu.Linux64, Addr: start + entry64Offset},
		end:         end,
		initrdEnd:   min(uint64(le.Uint32(head[setupInitrdMax:]))+1, layout.LowMemoryEnd),
		commandLine: uint64(le.Uint32(head[setupCommandMax:])),
		setup:       head[setupSects:min(setupMagic+int(head[setupJump]), setupSpace)],
	}, nil
}

func checkSetup(head []byte) error {
	version := le.Uint16(head[setupVersion:])
	switch {
	case le.Uint16(head[setupBootFlag:]) != bootFlag:
		return damaged("its boot flag is %#04x instead of %#04x", le.Uint16(head[setupBootFlag:]), bootFlag)
	case version < minVersion:
		return invalid("it speaks boot protocol %d.%02d, 2.12 is needed", version>>8, version&0xff).
			WithReason("kernel_too_old").WithRemedy("use Linux 3.8 or later")
	case head[setupLoadFlags]&loadedHigh == 0:
		return invalid("it is a zImage, not a bzImage").WithReason(notKernel).WithRemedy(nameKernel)
	case le.Uint16(head[setupXLoadFlags:])&entry64 == 0:
		return invalid("it has no 64-bit entry: a 32-bit kernel").WithReason("kernel_no_entry").WithRemedy("use a 64-bit kernel")
	case setupMagic+int(head[setupJump]) < setupEnd:
		return damaged("its setup header ends at %#x, before %#x", setupMagic+int(head[setupJump]), setupEnd)
	}
	return nil
}

// room says where a kernel of size bytes goes and how far it uses memory before it has looked at the memory map. The preferred
// address is where it unpacks to; wherever else it were loaded, that memory has to be there as well.
func (l *loader) room(head []byte, size uint64) (start, end uint64, err error) {
	start = le.Uint64(head[setupPreferred:])
	alignment := uint64(le.Uint32(head[setupAlignment:]))
	if start < layout.HighMemory || start > math.MaxUint32 || alignment > 0 && start%alignment != 0 || size <= entry64Offset {
		return 0, 0, damaged("%#x bytes are to be loaded at %#x, aligned to %#x", size, start, alignment)
	}
	end = start + max(size, uint64(le.Uint32(head[setupInitSize:])))
	if end > layout.LowMemoryEnd {
		return 0, 0, damaged("it wants the memory up to %#x, beyond %#x", end, uint64(layout.LowMemoryEnd))
	}
	if end > l.end {
		return 0, 0, l.tooSmall("it", end)
	}
	return start, end, nil
}
