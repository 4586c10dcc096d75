// Command probe is the client and the server by which networks of guests are compared: it runs in the namespaces that bench/net and
// its peers connect, and does what iperf3 does not.
//
//	probe serve 127.0.0.1:7001                  echoes, TCP and UDP
//	probe trip 10.0.2.2:7001                    1 byte there and back on one connection
//	probe connect 10.0.2.2:7001                 connect, request, answer, close, one after another
//	probe clients 10.0.2.2:7001                 the same by 8 clients, connections a second
//	probe datagrams -size 64 10.0.2.2:7001      UDP datagrams a second that come back, with a window
//	probe idle -n 10000 10.0.2.2:7001           opens connections and keeps them until interrupted
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

type options struct {
	n       int
	size    int
	seconds float64
	addr    string
}

var commands = map[string]func(options) error{
	"serve": serve, "trip": trip, "connect": connect, "clients": clients, "datagrams": datagrams, "idle": idle,
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		log.Fatal("probe serve|trip|connect|clients|datagrams|idle [-n number] [-size bytes] [-seconds s] address")
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.IntVar(&o.n, "n", 1000, "how many connections")
	flags.IntVar(&o.size, "size", 64, "bytes of a datagram")
	flags.Float64Var(&o.seconds, "seconds", 2, "how long to measure")
	_ = flags.Parse(os.Args[2:])
	o.addr = flags.Arg(0)
	if err := commands[os.Args[1]](o); err != nil {
		log.Fatal(err)
	}
}

// serve echoes what comes.
func serve(o options) error {
	packets, err := net.ListenPacket("udp", o.addr)
	if err != nil {
		return err
	}
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := packets.ReadFrom(b)
			if err != nil {
				log.Fatal(err)
			}
			_, _ = packets.WriteTo(b[:n], from)
		}
	}()
	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			b := make([]byte, 512)
			for {
				n, err := conn.Read(b)
				if err != nil {
					return
				}
				if _, err := conn.Write(b[:n]); err != nil {
					return
				}
			}
		}()
	}
}

// exchange sends one byte and waits for it.
func exchange(conn net.Conn) error {
	var b [1]byte
	if _, err := conn.Write(b[:]); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, b[:])
	return err
}

// repeat does something for a while and prints percentiles of its time.
func repeat(o options, what string, do func() error) error {
	var took []time.Duration
	for end := time.Now().Add(time.Duration(o.seconds * float64(time.Second))); time.Now().Before(end); {
		begin := time.Now()
		if err := do(); err != nil {
			return err
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	at := func(p float64) float64 { return float64(took[int(p*float64(len(took)-1))].Nanoseconds()) / 1e3 }
	fmt.Printf("%s: p50 %.1f us, p90 %.1f us, p99 %.1f us, %d times\n", what, at(0.5), at(0.9), at(0.99), len(took))
	return nil
}

func trip(o options) error {
	conn, err := net.Dial("tcp", o.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	return repeat(o, "round trip", func() error { return exchange(conn) })
}

func once(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	return errors.Join(exchange(conn), conn.Close())
}

func connect(o options) error {
	return repeat(o, "connect-request-close", func() error { return once(o.addr) })
}

func clients(o options) error {
	const all = 8
	var done atomic.Int64
	var first atomic.Pointer[error]
	var ends sync.WaitGroup
	begin := time.Now()
	end := begin.Add(time.Duration(o.seconds * float64(time.Second)))
	for range all {
		ends.Go(func() {
			for time.Now().Before(end) {
				if err := once(o.addr); err != nil {
					first.CompareAndSwap(nil, &err)
					return
				}
				done.Add(1)
			}
		})
	}
	ends.Wait()
	if err := first.Load(); err != nil {
		return *err
	}
	fmt.Printf("%d clients: %.0f connections a second\n", all, float64(done.Load())/time.Since(begin).Seconds())
	return nil
}

// datagrams keeps a window of datagrams on the way, so that loss is a choice of the network and not of the sender.
func datagrams(o options) error {
	conn, err := net.Dial("udp", o.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	const window, patience = 32, 50 * time.Millisecond
	room := make(chan struct{}, window)
	var sent, back atomic.Int64
	end := time.Now().Add(time.Duration(o.seconds * float64(time.Second)))
	var ends sync.WaitGroup
	ends.Go(func() {
		b := make([]byte, 65536)
		for time.Now().Before(end) {
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := conn.Read(b); err == nil {
				back.Add(1)
			}
			select { // a datagram that is lost makes room after a while, too
			case <-room:
			default:
			}
		}
	})
	b := make([]byte, o.size)
	begin := time.Now()
	for time.Now().Before(end) {
		select {
		case room <- struct{}{}:
		case <-time.After(patience):
			continue
		}
		if _, err := conn.Write(b); err != nil {
			return err
		}
		sent.Add(1)
	}
	ends.Wait()
	fmt.Printf("datagrams of %d bytes: %.0f a second there and back, %d lost of %d\n", o.size,
		float64(back.Load())/time.Since(begin).Seconds(), sent.Load()-back.Load(), sent.Load())
	return nil
}

func idle(o options) error {
	begin := time.Now()
	for i := range o.n {
		conn, err := net.Dial("tcp", o.addr)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if err := exchange(conn); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		defer conn.Close()
	}
	fmt.Printf("%d connections are open after %v\n", o.n, time.Since(begin).Round(time.Millisecond))
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	<-interrupted
	return nil
}
