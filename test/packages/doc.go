// Package packages holds lists of Debian packages against their promise: a VM that has them, the same for whoever has the lock file.
package packages
