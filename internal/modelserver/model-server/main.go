// Command model-server serves a scripted model, so that examples and CI need neither a key nor a network:
//
//	go run ./internal/modelserver/model-server -config rules.json                    serves until it is interrupted
//	go run ./internal/modelserver/model-server -config rules.json -- voidbox run ... serves as long as the command runs
//
// The command finds the server's URL in $MODEL_SERVER, and MODEL_SERVER in its arguments is replaced by it. -log keeps the requests,
// one a line, as JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/voidbox-run/voidbox/internal/modelserver"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	config := flag.String("config", "", "file with rules, as JSON (see modelserver.Config)")
	log := flag.String("log", "", "file for the requests")
	flag.Parse()
	err := run(*listen, *config, *log, flag.Args())
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "model-server:", err)
		os.Exit(1)
	}
}

func run(listen, config, log string, command []string) error {
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	var cfg modelserver.Config
	if err := json.Unmarshal(text, &cfg); err != nil {
		return fmt.Errorf("%s: %w", config, err)
	}
	server, err := modelserver.NewServer(cfg)
	if err != nil {
		return fmt.Errorf("%s: %w", config, err)
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	srv, done := &http.Server{Handler: server}, make(chan struct{})
	go func() { defer close(done); srv.Serve(listener) }()
	defer func() { srv.Close(); <-done }()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	url := "http://" + listener.Addr().String()
	if len(command) == 0 {
		fmt.Println(url)
		<-ctx.Done()
	} else {
		err = execute(ctx, url, command)
	}
	return errors.Join(err, keep(log, server.Received()))
}

func execute(ctx context.Context, url string, command []string) error {
	args := make([]string, len(command))
	for i, arg := range command {
		args[i] = strings.ReplaceAll(arg, "MODEL_SERVER", url)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "MODEL_SERVER="+url)
	return cmd.Run()
}

func keep(file string, received []modelserver.Received) error {
	if file == "" {
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	out := json.NewEncoder(f)
	for _, r := range received {
		if err := out.Encode(map[string]any{"method": r.Method, "path": r.Path, "header": r.Header, "body": string(r.Body)}); err != nil {
			f.Close()
			return err
		}
	}
	return f.Close()
}
