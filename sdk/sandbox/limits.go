package sandbox

import (
	"math"

	"google.golang.org/grpc"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Limits of what crosses the wire. Both ends demand them, since neither trusts the other.
const (
	// ChunkBytes is the size of the pieces in which file content, input and output are sent.
	ChunkBytes = 128 << 10
	// MaxChunkBytes is the largest piece that is taken.
	MaxChunkBytes = 1 << 20
	// MaxMessageBytes bounds one message: a chunk, or the arguments and variables of a command.
	MaxMessageBytes = 4 << 20
	// MaxDirEntries is the largest directory that a client takes.
	MaxDirEntries = 1 << 20

	// streamWindow is how much of one stream may be in flight or unread.
	streamWindow = 512 << 10
	// connWindow is the same for a connection.
	connWindow = 64 << 20
	// maxStreams is the number of calls that one connection may have open; further ones wait at the client.
	maxStreams = 2048
	// maxHeaderBytes bounds metadata, and with it the text of an error.
	maxHeaderBytes = 64 << 10

	maxPathBytes = 4096
	maxNameBytes = 255
	maxList      = 4096 // mounts, capabilities
)

// ServerOptions returns what a gRPC server needs to serve a sandbox well.
//
//   - Message limits, since gRPC's own are not the contract's.
//   - Fixed windows: they turn off gRPC's estimate of the bandwidth, which pings and grows windows by guessing. A reader of an
//     exec that stops reading holds back streamWindow bytes, and then the command that writes them. The window of the
//     connection is 128 times as large, so that many such readers stop only their own streams; grpc-go moreover gives the
//     connection's window back when bytes arrive, not when they are read.
//   - A bound on open calls and on metadata, which is read before anybody is authenticated.
//   - Stop waits for handlers, so that nothing runs on behalf of a connection that is gone.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessageBytes),
		grpc.MaxSendMsgSize(MaxMessageBytes),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connWindow),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.WaitForHandlers(true),
	}
}

// DialOptions is the client's half of ServerOptions. Retries are off: gRPC keeps the messages of a call to be able to repeat
// it, and a command must not run twice. So are proxies and service configurations, which would come from the host's
// environment and its DNS.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes), grpc.MaxCallSendMsgSize(MaxMessageBytes)),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithMaxHeaderListSize(maxHeaderBytes),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	}
}

// broken says that the peer does not keep to the contract.
func broken(format string, args ...any) error {
	return errdef.New(errdef.ErrDataLoss, "sandbox contract violated: "+format, args...).WithReason("contract_violated")
}

func checkChunk(b []byte) error {
	if len(b) > MaxChunkBytes {
		return broken("a chunk of %d bytes, at most %d are allowed", len(b), MaxChunkBytes)
	}
	return nil
}

func finite(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) || f < 0 {
		return 0
	}
	return f
}
