package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/voidbox-run/voidbox/core/image"
)

// Kernels that a Config may name.
const (
	KernelLab    = "lab"
	KernelDebian = "debian"
)

// needed are the modules without which the lab is none: the way to the host and the disks, KVM, vhost.
var needed = []string{
	"virtio_pci", "virtio_console", "virtio_blk", "ext4",
	"irqbypass", "kvm", "kvm_amd",
	"vhost", "vhost_iotlb", "vsock", "vmw_vsock_virtio_transport_common", "vhost_vsock",
}

func findKernel(ctx context.Context, cache *image.Cache, name string) (image.Kernel, error) {
	// Where guest/kernel/build.sh puts it.
	built := filepath.Join(cache.Dir(), "kernels", "lab", "current", "vmlinux")
	switch name {
	case KernelDebian:
		return cache.DebianKernel(ctx)
	case KernelLab:
		if _, err := os.Stat(built); err != nil {
			return image.Kernel{}, fmt.Errorf("the lab kernel is not built: %w; run `make lab-kernel`", err)
		}
		return cache.Kernel(ctx, image.KernelRequest{Path: built})
	case "":
		if _, err := os.Stat(built); err != nil {
			return cache.DebianKernel(ctx)
		}
		return cache.Kernel(ctx, image.KernelRequest{Path: built})
	}
	return cache.Kernel(ctx, image.KernelRequest{Path: name})
}

// modules returns the module files that the lab loads, in order. A kernel without modules has all of them built in.
func modules(kernel image.Kernel, more []string) ([]string, error) {
	if kernel.ModulesDir == "" {
		return nil, nil
	}
	names := append(append([]string(nil), needed...), more...)
	return image.ModuleClosure(kernel.ModulesDir, names...)
}
