//go:build linux

package vhostuser

import "fmt"

// request is a front-end message type.
type request uint32

const (
	reqGetFeatures         request = 1
	reqSetFeatures         request = 2
	reqSetOwner            request = 3
	reqResetOwner          request = 4
	reqSetMemTable         request = 5
	reqSetVringNum         request = 8
	reqSetVringAddr        request = 9
	reqSetVringBase        request = 10
	reqGetVringBase        request = 11
	reqSetVringKick        request = 12
	reqSetVringCall        request = 13
	reqSetVringErr         request = 14
	reqGetProtocolFeatures request = 15
	reqSetProtocolFeatures request = 16
	reqGetQueueNum         request = 17
	reqSetVringEnable      request = 18
	reqGetConfig           request = 24
	reqSetConfig           request = 25
	reqResetDevice         request = 34
)

func (r request) String() string {
	if h, ok := handlers[r]; ok {
		return h.name
	}
	return fmt.Sprintf("message %d", uint32(r))
}

const (
	// featureProtocol is VHOST_USER_F_PROTOCOL_FEATURES. Where a front end does not acknowledge it, rings
	// count as enabled from the start.
	featureProtocol = 1 << 30

	protocolMQ          = 1 << 0
	protocolReplyAck    = 1 << 3
	protocolConfig      = 1 << 9
	protocolResetDevice = 1 << 13

	protocolFeatures = protocolMQ | protocolReplyAck | protocolConfig | protocolResetDevice
)

const (
	headerSize = 12

	flagVersion     = 1
	flagVersionMask = 3
	flagReply       = 1 << 2
	flagNeedReply   = 1 << 3

	// The longest payload is a memory table: its count and 8 regions, which is as many as the protocol
	// allows and as many descriptors as a message may carry; a configuration message has as many bytes.
	maxRegions    = 8
	regionSize    = 32
	memTableSize  = 8 + maxRegions*regionSize
	configHeader  = 12
	maxConfigSize = 256
	maxPayload    = configHeader + maxConfigSize

	vringFDIndexMask = 0xff
	vringNoFD        = 1 << 8
)
