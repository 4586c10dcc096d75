package virtio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Stateful is a device whose state can be put aside and taken up again by another one of the same configuration. What stands
// in guest memory, rings included, is not part of it: the transport saves where the queues are, and memory goes its own way.
type Stateful interface {
	Device
	// SaveState returns the state of a device that is stopped. It does not change the device.
	SaveState() ([]byte, error)
	// LoadState takes a state over, before the first Activate. The bytes are as hostile as a guest's: an error leaves the device
	// as it was.
	LoadState([]byte) error
}

// ErrState is wrapped by errors about saved state that cannot be taken over.
var ErrState = errors.New("saved state cannot be used")

// MaxState bounds the state of one device, in bytes.
const MaxState = 1 << 20

// savedState is the envelope of all states.
type savedState struct {
	Version int             `json:"version"`
	Data    json.RawMessage `json:"data"`
}

// EncodeState writes v, a struct of exported fields, as state of the given version.
func EncodeState(version int, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	return json.Marshal(savedState{Version: version, Data: data})
}

// DecodeState reads into v what EncodeState wrote for the same version. Unknown fields are errors, since what they meant would
// be lost.
func DecodeState(state []byte, version int, v any) error {
	if len(state) > MaxState {
		return fmt.Errorf("%w: %d bytes, at most %d are possible", ErrState, len(state), MaxState)
	}
	var s savedState
	if err := json.Unmarshal(state, &s); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if s.Version != version {
		return fmt.Errorf("%w: it is of version %d, and this device knows version %d", ErrState, s.Version, version)
	}
	decoder := json.NewDecoder(bytes.NewReader(s.Data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}
