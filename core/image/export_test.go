package image

// DebianKernel lets the boot test have Debian's kernel where `make kernel` has built one, too.
var DebianKernel = (*Cache).debianKernel
