package vhost

// Requests of linux/vhost.h: direction, size of the argument, VHOST_VIRTIO, number.
const (
	getFeatures  = 0x8008_af00
	setFeatures  = 0x4008_af00
	setOwner     = 0x0000_af01
	setMemTable  = 0x4008_af03
	setVringNum  = 0x4008_af10
	setVringAddr = 0x4028_af11
	setVringBase = 0x4008_af12
	getVringBase = 0xc008_af12
	setVringKick = 0x4008_af20
	setVringCall = 0x4008_af21
	setGuestCID  = 0x4008_af60 // VHOST_VSOCK_SET_GUEST_CID
	setRunning   = 0x4004_af61 // VHOST_VSOCK_SET_RUNNING
)

// RunningRequests are the requests of a device that guests start and stop, for the seccomp filter of the process.
func RunningRequests() []uint32 {
	return []uint32{setFeatures, setMemTable, setVringNum, setVringAddr, setVringBase, getVringBase, setVringKick, setVringCall, setRunning}
}
