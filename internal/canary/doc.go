// Package canary looks for a secret where it must not be: in the environment, the command line and the memory of processes, and in
// files. Tests put a secret that occurs nowhere else into a run, and ask afterwards, or better in the middle, who has it.
//
// Of a process's memory every page that is there is read, by way of /proc/PID/mem: the guest's RAM in a machine monitor as much as
// the heap of a plugin. Pages that were never touched are passed over (/proc/PID/pagemap), so that looking at a VM does not make it
// use all the memory that it was promised.
package canary
