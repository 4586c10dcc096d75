// Command driverguest is the init of a VM that tries Linux's own virtio-net and virtio-fs drivers on the devices of this module,
// with the peers of package linkpeer behind them. It loads the modules that lie in its initramfs, moves data through both
// devices, compares every byte, says the outcome on the console and reboots, which ends the VM.
//
// A line "driverguest: done" is the end of a run without faults.
package main
