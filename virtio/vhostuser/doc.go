// Package vhostuser is the back end of the vhost-user protocol.
package vhostuser
