package run

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/voidbox-run/voidbox/core/control"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// errAsked is the cause of a run that was cancelled through its socket.
var errAsked = errdef.New(context.Canceled, "another program asked for it")

// listen lets other processes speak to the run, where there is a place for its socket. A run that nobody can speak to is still one.
func (r *Run) listen(info control.Info) (deafen func(context.Context) error) {
	deafen = func(context.Context) error { return nil }
	if r.cfg.ControlDir == "" || r.dir == nil {
		return deafen
	}
	server, err := control.Serve(r.cfg.ControlDir, r.dir.Path(), r.controls(info))
	if err != nil {
		r.root.Emit(event.Warning{Message: "other programs cannot speak to this run: " + event.Clean(err.Error())})
		return deafen
	}
	return server.Close
}

// controls answers them.
func (r *Run) controls(info control.Info) http.Handler {
	info.PID = os.Getpid()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /run", func(w http.ResponseWriter, _ *http.Request) {
		now := info
		now.Networks = []control.Network{}
		for _, g := range r.networks.all() {
			now.Networks = append(now.Networks, control.Network{Stage: g.stage, Sandbox: g.sandbox, Published: g.ports.list()})
		}
		control.Reply(w, now)
	})
	mux.HandleFunc("GET /explain", func(w http.ResponseWriter, req *http.Request) {
		verdicts, err := r.explain(req)
		reply(w, verdicts, err)
	})
	mux.HandleFunc("POST /publish", func(w http.ResponseWriter, req *http.Request) {
		var p control.Publish
		err := control.Read(w, req, &p)
		var where control.Published
		if err == nil {
			where, err = r.publish(req.Context(), p)
		}
		reply(w, where, err)
	})
	mux.HandleFunc("POST /unpublish", func(w http.ResponseWriter, req *http.Request) {
		var u control.Unpublish
		err := control.Read(w, req, &u)
		if err == nil {
			err = r.unpublish(req.Context(), u)
		}
		reply(w, struct{}{}, err)
	})
	mux.HandleFunc("POST /cancel", func(w http.ResponseWriter, _ *http.Request) {
		r.root.Emit(event.Warning{Message: "another program asks this run to end"})
		r.stop(errAsked)
		control.Reply(w, struct{}{})
	})
	return mux
}

func reply(w http.ResponseWriter, document any, err error) {
	if err != nil {
		control.Fail(w, err)
		return
	}
	control.Reply(w, document)
}

// explain asks the networks what they would do with a flow.
func (r *Run) explain(req *http.Request) ([]control.Verdict, error) {
	query := req.URL.Query()
	f := network.Flow{Protocol: network.Protocol(query.Get("protocol")), Host: query.Get("host")}
	port, err := strconv.ParseUint(query.Get("port"), 10, 16)
	if err != nil {
		return nil, errdef.New(errdef.ErrInvalid, "%q is no port", query.Get("port"))
	}
	f.Port = uint16(port)
	nets, err := r.networks.named(query.Get("stage"))
	if err != nil {
		return nil, err
	}
	var out []control.Verdict
	for _, g := range nets {
		v, err := g.Explain(req.Context(), f)
		if err != nil {
			return nil, fmt.Errorf("stage %s: %w", g.stage, err)
		}
		out = append(out, control.Verdict{
			Stage: g.stage, Sandbox: g.sandbox, Allowed: v.Action == network.Allow, Rule: event.Clean(v.Rule), Reason: event.Clean(v.Reason),
		})
	}
	return out, nil
}

// publish makes a port of a guest one of the host.
func (r *Run) publish(ctx context.Context, p control.Publish) (control.Published, error) {
	g, err := r.networks.only(p.Stage)
	if err != nil {
		return control.Published{}, err
	}
	port := network.PublishedPort{Protocol: network.Protocol(p.Protocol), HostPort: p.HostPort, GuestPort: p.GuestPort}
	if p.HostAddress != "" {
		if port.Host, err = netip.ParseAddr(p.HostAddress); err != nil {
			return control.Published{}, errdef.New(errdef.ErrInvalid, "%q is no address of the host", p.HostAddress)
		}
	}
	at, err := g.publish(ctx, port)
	return control.Published{Stage: g.stage, Address: at.String()}, err
}

func (r *Run) unpublish(ctx context.Context, u control.Unpublish) error {
	g, err := r.networks.only(u.Stage)
	if err != nil {
		return err
	}
	return g.unpublish(ctx, network.Protocol(u.Protocol), u.GuestPort)
}

// named returns the network of a stage, or all of them for an empty one.
func (n *networks) named(stage string) ([]*guestNet, error) {
	nets := n.all()
	if stage != "" {
		nets = slices.DeleteFunc(nets, func(g *guestNet) bool { return g.stage != stage })
	}
	if len(nets) == 0 {
		err := errors.New("no guest with a network runs at the moment")
		if stage != "" {
			err = fmt.Errorf("stage %s has no guest with a network at the moment", stage)
		}
		return nil, errdef.New(errdef.ErrState, "%w", err)
	}
	return nets, nil
}

// only returns the network of a stage, which need not be named where there is one only.
func (n *networks) only(stage string) (*guestNet, error) {
	nets, err := n.named(stage)
	if err != nil {
		return nil, err
	}
	if len(nets) > 1 {
		var names []string
		for _, g := range nets {
			names = append(names, g.stage)
		}
		return nil, errdef.New(errdef.ErrInvalid, "several guests run").WithRemedy("name the stage with --stage: one of %v", names)
	}
	return nets[0], nil
}
