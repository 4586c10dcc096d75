package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/base"
)

// maxTicket bounds a ticket with its comments, in bytes: a model that comments for ever must not fill the disk.
const maxTicket = 64 << 10

var schema = base.Schema{Attributes: []base.Attribute{{
	Name:        "directory",
	Type:        "path",
	Description: "Where the tickets are: 7.md is number 7.",
	Required:    true,
}}}

// tracker is a directory of tickets. The arguments of its tools are written by a model that reads untrusted text: a number names a
// file, and the root keeps a link from leading out of the directory.
type tracker struct{ root *os.Root }

func (t *tracker) configure(_ context.Context, c base.Config) error {
	var block struct {
		Directory string `json:"directory"`
	}
	err := c.Decode(&block)
	if err != nil {
		return err
	}
	if t.root, err = os.OpenRoot(block.Directory); err != nil {
		return base.Diagnostics{{Severity: base.Error, Summary: "there is no such directory of tickets", Detail: err.Error(), Path: []string{"directory"}}}
	}
	return nil
}

func (t *tracker) show(id int) (string, error) {
	text, err := t.root.ReadFile(file(id))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no ticket %d", id)
	}
	return string(text), err
}

func (t *tracker) comment(id int, text string) (string, error) {
	f, err := t.root.OpenFile(file(id), os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no ticket %d", id)
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	comment := "\n> " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n> ") + "\n"
	if info, err := f.Stat(); err != nil || info.Size()+int64(len(comment)) > maxTicket {
		return "", errors.Join(err, fmt.Errorf("ticket %d has no room for more", id))
	}
	if _, err := f.WriteString(comment); err != nil {
		return "", err
	}
	return fmt.Sprintf("commented on ticket %d", id), nil
}

func file(id int) string { return fmt.Sprintf("%d.md", id) }
