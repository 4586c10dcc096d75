//go:build !amd64

package tsc

const supported = false

func counter() uint64 { return 0 }
