// Package virtiotest plays the guest for tests of device models: guest memory, the driver's side of a virtqueue as
// Linux fills it, and a vhost-user front end that sends what QEMU sends.
//
// A Ring can be driven properly (Add, Publish, Reap) or written to at will, for tests of hostile guests. A device
// under test is lent rings by Lend, directly, or by a FrontEnd, over a real socket; the rest of a test is the same:
//
//	mem := virtiotest.NewMemory(t, 1<<20)
//	rings := []*virtiotest.Ring{virtiotest.NewRing(t, mem, 128, features)}
//	virtiotest.Lend(t, dev, mem, features, rings...)
//
// An MMIODriver drives a device through the registers of virtio-mmio instead, and Abuse does to any device what a hostile guest would.
//
// All waits have a deadline, as a safety net: a test that runs into it fails.
package virtiotest
