// Package programs holds the commands of the mock's /bin: a busybox that knows only the file system in memory.
//
// A program is a function of a Proc, which is all it may touch. It returns its exit status. Reads and writes of a Proc end the
// program when the process is killed or when nobody reads its output, so the programs themselves stay plain loops.
package programs
