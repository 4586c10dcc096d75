//go:build linux

package block

import "unsafe"

// each calls fn for every piece of the vector, with the number of bytes before it, and returns the number of all bytes. The
// pieces are those of fill, which are mapped.
func (v *vector) each(fn func(p []byte, at int)) int {
	n := 0
	for _, iov := range v.iov[:v.n] {
		fn(unsafe.Slice(iov.Base, iov.Len), n)
		n += int(iov.Len)
	}
	return n
}
