package monitor

import (
	"net"

	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/args"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// A berth is where QEMU reaches one of our devices: a connection that it inherits, or for a network card a door that it comes
// through.
type berth struct {
	conn *net.UnixConn
	door *door
}

// berth makes one with a connection and returns the number of QEMU's end.
func (w *wiring) berth(name string) (int, error) {
	conn, number, err := w.socket(name)
	if err == nil {
		w.lent = append(w.lent, berth{conn: conn})
	}
	return number, err
}

// link makes the berth of the device behind a link.
func (w *wiring) link(l vmm.Link) error {
	if l.Kind != vmm.LinkNet {
		number, err := w.berth(l.ID)
		w.numbers.Links = append(w.numbers.Links, args.BackEnd{FD: number})
		return err
	}
	d, err := openDoor()
	if err != nil {
		return err
	}
	w.lent = append(w.lent, berth{door: d})
	w.numbers.Links = append(w.numbers.Links, args.BackEnd{Address: d.name})
	return nil
}

// connection is QEMU's, once it is there.
func (b berth) connection(qemu *process) (*net.UnixConn, error) {
	if b.door != nil {
		return b.door.admit(qemu)
	}
	return b.conn, nil
}

func (b berth) close() {
	if b.conn != nil {
		_ = b.conn.Close()
	}
	if b.door != nil {
		b.door.close()
	}
}
