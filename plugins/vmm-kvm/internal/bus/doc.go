// Package bus brings an access of the guest to the device that it is meant for. A VM has two buses, one for addresses without
// memory and one for I/O ports.
//
// A bus is built before the vCPUs run and does not change afterwards, so that dispatch needs no lock: a binary search over sorted
// ranges, nothing allocated. It counts as it goes, for the exit statistics.
package bus
