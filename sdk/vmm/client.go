package vmm

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// NewClient returns the VMM at the other end of conn, which stays the caller's to close.
func NewClient(conn grpc.ClientConnInterface) VMM {
	return &client{rpc: pluginv1.NewVMMClient(conn)}
}

type client struct{ rpc pluginv1.VMMClient }

func (c *client) Create(ctx context.Context, m Machine) (Created, error) {
	machine, err := machineToProto(m)
	if err != nil {
		return Created{}, err
	}
	resp, err := c.rpc.CreateVM(ctx, &pluginv1.CreateVMRequest{Machine: machine})
	if err != nil {
		return Created{}, errdef.FromStatus(err)
	}
	return Created{Accelerator: resp.GetAccelerator(), Monitor: resp.GetMonitor()}, nil
}

func (c *client) Start(ctx context.Context) error {
	_, err := c.rpc.StartVM(ctx, &pluginv1.StartVMRequest{})
	return errdef.FromStatus(err)
}

func (c *client) Pause(ctx context.Context) error {
	_, err := c.rpc.PauseVM(ctx, &pluginv1.PauseVMRequest{})
	return errdef.FromStatus(err)
}

func (c *client) Resume(ctx context.Context) error {
	_, err := c.rpc.ResumeVM(ctx, &pluginv1.ResumeVMRequest{})
	return errdef.FromStatus(err)
}

func (c *client) Stop(ctx context.Context, grace time.Duration) error {
	_, err := c.rpc.StopVM(ctx, &pluginv1.StopVMRequest{Grace: durationpb.New(grace)})
	return errdef.FromStatus(err)
}

func (c *client) Snapshot(ctx context.Context, dir string) error {
	_, err := c.rpc.SnapshotVM(ctx, &pluginv1.SnapshotVMRequest{Directory: dir})
	return errdef.FromStatus(err)
}

func (c *client) Restore(ctx context.Context, dir string, wires Wires, disks []Disk) error {
	links, err := linksToProto(wires.Links)
	if err != nil {
		return err
	}
	_, err = c.rpc.RestoreVM(ctx, &pluginv1.RestoreVMRequest{
		Directory: dir, Links: links, Vsock: vsockToProto(wires.Vsock), Disks: disksToProto(disks),
	})
	return errdef.FromStatus(err)
}

func (c *client) Relink(ctx context.Context, link Link) error {
	links, err := linksToProto([]Link{link})
	if err != nil {
		return err
	}
	_, err = c.rpc.RelinkVM(ctx, &pluginv1.RelinkVMRequest{Link: links[0]})
	return errdef.FromStatus(err)
}

func (c *client) Watch(ctx context.Context, fn func(Event) error) error {
	return stream(ctx, func(ctx context.Context) (grpc.ServerStreamingClient[pluginv1.WatchVMResponse], error) {
		return c.rpc.WatchVM(ctx, &pluginv1.WatchVMRequest{})
	}, func(resp *pluginv1.WatchVMResponse) error {
		if e, known := eventFromProto(resp); known {
			return fn(e)
		}
		return nil
	})
}

func (c *client) Console(ctx context.Context, follow bool, fn func(data []byte, lost uint64) error) error {
	return stream(ctx, func(ctx context.Context) (grpc.ServerStreamingClient[pluginv1.ReadConsoleResponse], error) {
		return c.rpc.ReadConsole(ctx, &pluginv1.ReadConsoleRequest{Follow: follow})
	}, func(resp *pluginv1.ReadConsoleResponse) error {
		return fn(resp.GetData(), resp.GetLost())
	})
}

func (c *client) Metrics(ctx context.Context) (map[string]uint64, error) {
	resp, err := c.rpc.GetVMMetrics(ctx, &pluginv1.GetVMMetricsRequest{})
	if err != nil {
		return nil, errdef.FromStatus(err)
	}
	return resp.GetCounters(), nil
}

// stream calls fn with every message until the server ends the stream or fn fails, and leaves no stream behind.
func stream[T any](ctx context.Context, open func(context.Context) (grpc.ServerStreamingClient[T], error), fn func(*T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := open(ctx)
	if err != nil {
		return errdef.FromStatus(err)
	}
	for {
		resp, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errdef.FromStatus(err)
		}
		if err := fn(resp); err != nil {
			return err
		}
	}
}
