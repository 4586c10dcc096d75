//go:build linux

package vhostuser

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/voidbox-run/voidbox/virtio"
)

const anySize = -1

// handler carries out one kind of message. size is the payload's length.
type handler struct {
	name string
	size int
	do   func(*session, *message) (reply []byte, err error)
}

// handlers is filled by init, since request.String, which handlers' errors use, reads it.
var handlers map[request]handler

func init() {
	handlers = map[request]handler{
		reqGetFeatures:         {"GET_FEATURES", 0, (*session).getFeatures},
		reqSetFeatures:         {"SET_FEATURES", 8, (*session).setFeatures},
		reqSetOwner:            {"SET_OWNER", 0, (*session).setOwner},
		reqResetOwner:          {"RESET_OWNER", 0, (*session).reset},
		reqSetMemTable:         {"SET_MEM_TABLE", anySize, (*session).setMemTable},
		reqSetVringNum:         {"SET_VRING_NUM", 8, (*session).setVringNum},
		reqSetVringAddr:        {"SET_VRING_ADDR", 40, (*session).setVringAddr},
		reqSetVringBase:        {"SET_VRING_BASE", 8, (*session).setVringBase},
		reqGetVringBase:        {"GET_VRING_BASE", 8, (*session).getVringBase},
		reqSetVringKick:        {"SET_VRING_KICK", 8, (*session).setVringKick},
		reqSetVringCall:        {"SET_VRING_CALL", 8, (*session).setVringCall},
		reqSetVringErr:         {"SET_VRING_ERR", 8, (*session).setVringErr},
		reqGetProtocolFeatures: {"GET_PROTOCOL_FEATURES", 0, (*session).getProtocolFeatures},
		reqSetProtocolFeatures: {"SET_PROTOCOL_FEATURES", 8, (*session).setProtocolFeatures},
		reqGetQueueNum:         {"GET_QUEUE_NUM", 0, (*session).getQueueNum},
		reqSetVringEnable:      {"SET_VRING_ENABLE", 8, (*session).setVringEnable},
		reqGetConfig:           {"GET_CONFIG", anySize, (*session).getConfig},
		reqSetConfig:           {"SET_CONFIG", anySize, (*session).setConfig},
		reqResetDevice:         {"RESET_DEVICE", 0, (*session).reset},
	}
}

func u64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// ack is the reply to a message that asked to be told: 0 for success.
func ack(err error) []byte {
	if err != nil {
		return u64(1)
	}
	return u64(0)
}

func (s *session) features() uint64 {
	return s.dev.Features() | virtio.FeatureVersion1 | virtio.FeatureIndirect | virtio.FeatureEventIdx | featureProtocol
}

func (s *session) getFeatures(*message) ([]byte, error) { return u64(s.features()), nil }

func (s *session) setFeatures(m *message) ([]byte, error) {
	acked := m.u64(0)
	if extra := acked &^ s.features(); extra != 0 {
		return nil, fmt.Errorf("features %#x were not offered", extra)
	}
	if acked == s.acked {
		return nil, nil
	}
	s.stop()
	s.acked = acked
	if acked&featureProtocol == 0 {
		for i := range s.rings {
			s.rings[i].enabled = true
		}
	}
	return nil, nil
}

func (s *session) setOwner(*message) ([]byte, error) { return nil, nil }

func (s *session) getProtocolFeatures(*message) ([]byte, error) { return u64(protocolFeatures), nil }

func (s *session) setProtocolFeatures(m *message) ([]byte, error) {
	if extra := m.u64(0) &^ protocolFeatures; extra != 0 {
		return nil, fmt.Errorf("protocol features %#x were not offered", extra)
	}
	s.protocol = m.u64(0)
	return nil, nil
}

// getQueueNum tells how many queues there may be; a network device counts in pairs of them.
func (s *session) getQueueNum(*message) ([]byte, error) {
	n := uint64(len(s.rings))
	if s.dev.DeviceID() == virtio.IDNet {
		n /= 2
	}
	return u64(n), nil
}

func (s *session) setMemTable(m *message) ([]byte, error) {
	t, err := newMemoryTable(m)
	if err != nil {
		return nil, err
	}
	s.stop()
	s.memory.unmap()
	s.memory = t
	return nil, nil
}

func (s *session) ring(index uint32) (*ring, error) {
	if index >= uint32(len(s.rings)) {
		return nil, fmt.Errorf("queue %d: the device has %d", index, len(s.rings))
	}
	return &s.rings[index], nil
}

// stoppedRing returns a ring whose layout may be changed.
func (s *session) stoppedRing(index uint32) (*ring, error) {
	r, err := s.ring(index)
	if err == nil && r.queue != nil {
		return nil, fmt.Errorf("queue %d is running", index)
	}
	return r, err
}

func (s *session) setVringNum(m *message) ([]byte, error) {
	r, err := s.stoppedRing(m.u32(0))
	if err != nil {
		return nil, err
	}
	n, limit := m.u32(4), s.dev.QueueSizes()[m.u32(0)]
	if n == 0 || n > uint32(limit) || n&(n-1) != 0 {
		return nil, fmt.Errorf("queue size %d is not a power of two up to %d", n, limit)
	}
	r.size = uint16(n)
	return nil, nil
}

// setVringAddr sets the addresses: index, flags, descriptors, used ring, avail ring, log. A front end repeats
// them for a running ring to switch logging, which we do not offer; there is then nothing to change.
func (s *session) setVringAddr(m *message) ([]byte, error) {
	r, err := s.ring(m.u32(0))
	if err != nil {
		return nil, err
	}
	addresses := ringAddresses{desc: m.u64(8), used: m.u64(16), avail: m.u64(24)}
	if r.queue != nil && addresses != r.addresses {
		return nil, fmt.Errorf("queue %d is running", m.u32(0))
	}
	r.addresses = addresses
	return nil, nil
}

func (s *session) setVringBase(m *message) ([]byte, error) {
	r, err := s.stoppedRing(m.u32(0))
	if err != nil {
		return nil, err
	}
	if m.u32(4) > 0xffff {
		return nil, fmt.Errorf("base %d", m.u32(4))
	}
	base := uint16(m.u32(4))
	if r.ran && base != r.base && !s.running() {
		// The driver began anew: what the device knows belongs to the old one.
		s.dev.Reset()
		for i := range s.rings {
			s.rings[i].ran = false
		}
	}
	r.base = base
	return nil, nil
}

func (s *session) running() bool {
	for i := range s.rings {
		if s.rings[i].queue != nil {
			return true
		}
	}
	return false
}

// getVringBase stops the ring. Device.Stop has finished or given back what was in flight before the reply.
func (s *session) getVringBase(m *message) ([]byte, error) {
	index := m.u32(0)
	r, err := s.ring(index)
	if err != nil {
		return nil, err
	}
	s.stop()
	r.setKick(nil)
	reply := binary.LittleEndian.AppendUint32(nil, index)
	return binary.LittleEndian.AppendUint32(reply, uint32(r.base)), nil
}

// ringFD returns the ring that a message with a descriptor means, and the descriptor; nil where the message
// says that there is none.
func (s *session) ringFD(m *message) (*ring, *virtio.EventFD, error) {
	v := m.u64(0)
	r, err := s.ring(uint32(v & vringFDIndexMask))
	if err != nil || v&vringNoFD != 0 {
		return r, nil, err
	}
	fd, err := m.takeFD()
	if err != nil {
		return nil, nil, err
	}
	e, err := virtio.OpenEventFD(fd)
	return r, e, err
}

func (s *session) setVringKick(m *message) ([]byte, error) {
	r, e, err := s.ringFD(m)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, errors.New("a ring without a kick would have to be polled, which is not supported")
	}
	if r.queue != nil {
		s.stop()
	}
	r.setKick(virtio.NewEventKick(e))
	return nil, nil
}

func (s *session) setVringCall(m *message) ([]byte, error) {
	r, e, err := s.ringFD(m)
	if err != nil {
		return nil, err
	}
	r.call.set(e)
	return nil, nil
}

func (s *session) setVringErr(m *message) ([]byte, error) {
	r, e, err := s.ringFD(m)
	if err != nil {
		return nil, err
	}
	r.err.set(e)
	return nil, nil
}

func (s *session) setVringEnable(m *message) ([]byte, error) {
	r, err := s.ring(m.u32(0))
	if err != nil {
		return nil, err
	}
	if m.u32(4) > 1 {
		return nil, fmt.Errorf("enable is %d", m.u32(4))
	}
	r.enabled = m.u32(4) == 1
	return nil, nil
}

// configRange checks a configuration message: offset, size, flags, then size bytes.
func configRange(m *message) (offset uint32, data []byte, err error) {
	if len(m.payload) < configHeader || uint32(len(m.payload)-configHeader) != m.u32(4) {
		return 0, nil, fmt.Errorf("payload of %d bytes", len(m.payload))
	}
	if m.u32(0) > maxConfigSize || m.u32(0)+m.u32(4) > maxConfigSize {
		return 0, nil, fmt.Errorf("%d bytes at %d, and the space has %d", m.u32(4), m.u32(0), maxConfigSize)
	}
	return m.u32(0), m.payload[configHeader:], nil
}

func (s *session) getConfig(m *message) ([]byte, error) {
	offset, data, err := configRange(m)
	if err != nil {
		// The protocol's way to say so is a reply without payload.
		s.log.Warn("vhost-user message refused", "message", m.request.String(), "error", err)
		return []byte{}, nil
	}
	clear(data)
	s.dev.ReadConfig(offset, data)
	return m.payload, nil
}

func (s *session) setConfig(m *message) ([]byte, error) {
	offset, data, err := configRange(m)
	if err != nil {
		return nil, err
	}
	s.dev.WriteConfig(offset, data)
	return nil, nil
}

func (s *session) reset(*message) ([]byte, error) {
	s.resetDevice()
	return nil, nil
}
