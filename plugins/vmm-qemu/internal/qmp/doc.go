// Package qmp speaks the QEMU Machine Protocol: JSON objects, one a line, over one connection.
//
// QEMU sends a greeting, is told which capabilities are wanted, and then answers commands and reports events in any order.
// Each command carries an id, which its answer repeats.
//
// QEMU has parsed what the guest wrote, so its bytes are hostile here: a line is bounded, an answer with an unknown id is
// dropped, and nothing that arrives makes the client wait for anything but the next line.
//
// Source: QEMU's docs/interop/qmp-spec.rst.
package qmp
