package mock

import (
	"bytes"
	"errors"
	"os"
	"syscall"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/shell"
)

// Control characters that a terminal acts on.
const (
	interrupt = 0x03 // ^C
	endOfFile = 0x04 // ^D
	backspace = 0x08
	quit      = 0x1c // ^\
	del       = 0x7f
)

// maxLine is the longest line that a terminal takes, as Linux has it.
const maxLine = 4096

// errHangUp ends the input of a terminal after ^D.
var errHangUp = errors.New("end of input")

// toScreen ends lines as a terminal does.
func toScreen(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) }

// keyboard is a terminal's line discipline: it echoes, lets a line be edited, and turns some keys into signals.
type keyboard struct {
	pipe    *os.File
	screen  *output
	process *shell.Process
	line    []byte
}

func (k *keyboard) Write(b []byte) (int, error) {
	for _, c := range b {
		if err := k.key(c); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// echo ignores failures: they end the command by another way.
func (k *keyboard) echo(s string) { _, _ = k.screen.Write([]byte(s)) }

func (k *keyboard) key(c byte) error {
	switch c {
	case interrupt:
		k.echo("^C")
		k.line = k.line[:0]
		k.process.Kill(int(syscall.SIGINT))
	case quit:
		k.echo("^\\")
		k.line = k.line[:0]
		k.process.Kill(int(syscall.SIGQUIT))
	case endOfFile:
		if len(k.line) == 0 {
			return errHangUp
		}
		return k.flush()
	case backspace, del:
		if len(k.line) > 0 {
			k.line = k.line[:len(k.line)-1]
			k.echo("\b \b")
		}
	case '\r', '\n':
		k.echo("\n")
		k.line = append(k.line, '\n')
		return k.flush()
	default:
		if len(k.line) < maxLine {
			k.line = append(k.line, c)
			k.echo(string(rune(c)))
		}
	}
	return nil
}

func (k *keyboard) flush() error {
	_, err := k.pipe.Write(k.line)
	k.line = k.line[:0]
	return err
}
