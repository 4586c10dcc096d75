// Package lanes serves a file system over a link: each lane's requests in their order, by the goroutine that reads them, since
// most are answered from the host's memory sooner than another goroutine could be woken. What may take long (a READ of bytes
// that the host does not have in memory, a sync) goes to a goroutine of its own, and its reply comes when it is ready. The
// link's credits bound how many there can be.
//
// A message lies in memory that the other side can change while it is read. So it is copied before it is judged; only the data
// of a WRITE are used where they lie, and the data of a READ are put where they are to be read.
package lanes
