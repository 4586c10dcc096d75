// Command claude-stand-in stands in for Claude Code inside a VM, in tests; see internal/claudestandin.
package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/internal/claudestandin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	dir, _ := os.Getwd() // empty where it is gone, and then relative paths fail by themselves
	status := claudestandin.Main(ctx, claudestandin.Invocation{
		Args: os.Args[1:], Getenv: os.Getenv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Dir: dir, Root: os.Getuid() == 0,
		Shell: shell, Post: post,
	})
	stop()
	os.Exit(status)
}

// maxAnswer bounds an answer of the API.
const maxAnswer = 16 << 20

func post(ctx context.Context, url string, header map[string]string, body []byte) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, answer, err
}

// shell runs a script with bash.
func shell(ctx context.Context, script string, args []string, stdin string) (string, int, error) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		return "", 0, err
	}
	var output claudestandin.Output
	cmd := exec.CommandContext(ctx, bash, append([]string{"-c", script, "bash"}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &output, &output
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return output.String(), exit.ExitCode(), nil
	}
	return output.String(), 0, err
}
