package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

const (
	// maxScan bounds how far read looks for the line that it is to start from.
	maxScan = 64 << 20
	// maxEdit is the size of the largest file that edit takes.
	maxEdit = 4 << 20
)

var readTool = tool{
	name:        "read",
	description: "Reads a text file of the sandbox.",
	params: []param{
		{name: "path", kind: "string", description: "Path of the file, absolute or from the working directory.", required: true},
		{name: "offset", kind: "integer", description: "First line, counted from 1."},
		{name: "limit", kind: "integer", description: "Number of lines."},
	},
	run: read,
}

func read(ctx context.Context, t *toolbox, args arguments) (string, error) {
	p := t.path(args.text("path"))
	info, err := t.sandbox.Stat(ctx, p, true)
	if err != nil {
		return "", verdict(ctx, "read "+p, err)
	}
	if info.Mode.IsDir() {
		return "", failure("read %s: it is a directory; list it with bash", p)
	}
	file, err := t.sandbox.ReadFile(ctx, p, sandbox.Range{})
	if err != nil {
		return "", verdict(ctx, "read "+p, err)
	}
	defer file.Close()
	first := max(args.number("offset"), 1)
	text, err := readLines(file, first, args.number("limit"), t.outputBytes)
	var tooFar *toolError
	if err != nil && !errors.As(err, &tooFar) {
		return "", verdict(ctx, "read "+p, err)
	}
	return text, err
}

// readLines returns lines of a text from line first on, count of them (0 means all), within limit bytes.
func readLines(from io.Reader, first, count, limit int) (string, error) {
	in := bufio.NewReaderSize(io.LimitReader(from, maxScan), 64<<10)
	if start, _ := in.Peek(8 << 10); bytes.IndexByte(start, 0) >= 0 {
		return "", failure("it is a binary file; look at it with bash, for example with od")
	}
	for line := 1; line < first; line++ {
		if err := skipLine(in); err == io.EOF {
			return "", failure("the file has fewer than %d lines", first)
		} else if err != nil {
			return "", err
		}
	}
	var out bytes.Buffer
	line := first
	for ; count == 0 || line < first+count; line++ {
		before := out.Len()
		whole, err := copyLine(&out, in, limit)
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
		if whole {
			continue
		}
		if before > 0 {
			out.Truncate(before)
			return clean(out.String()) + fmt.Sprintf("[... cut here; the next line is %d]", line), nil
		}
		return prefix(clean(out.String()), limit) + fmt.Sprintf("\n[... line %d is longer than %d bytes and was cut]", line, limit), nil
	}
	return clean(out.String()), nil
}

// copyLine copies a line with its newline; whole is false when it does not fit within limit.
func copyLine(out *bytes.Buffer, in *bufio.Reader, limit int) (whole bool, err error) {
	copied := false
	for {
		piece, err := in.ReadSlice('\n')
		room := limit - out.Len()
		if len(piece) > room {
			out.Write(piece[:room])
			return false, nil
		}
		out.Write(piece)
		copied = copied || len(piece) > 0
		switch {
		case err == nil || err == io.EOF && copied:
			return true, nil
		case err != bufio.ErrBufferFull:
			return false, err
		}
	}
}

func skipLine(in *bufio.Reader) error {
	for {
		if _, err := in.ReadSlice('\n'); err != bufio.ErrBufferFull {
			return err
		}
	}
}

var writeTool = tool{
	name:        "write",
	description: "Writes a file of the sandbox, replacing what was there. Missing directories are made.",
	params: []param{
		{name: "path", kind: "string", description: "Path of the file, absolute or from the working directory.", required: true},
		{name: "content", kind: "string", description: "The whole new content.", required: true},
	},
	run: func(ctx context.Context, t *toolbox, args arguments) (string, error) {
		p, content := t.path(args.text("path")), args.text("content")
		if err := t.write(ctx, p, content); err != nil {
			return "", err
		}
		return fmt.Sprintf("wrote %d bytes to %s", len(content), p), nil
	},
}

func (t *toolbox) write(ctx context.Context, p, content string) error {
	_, err := t.sandbox.WriteFile(ctx, p, sandbox.WriteOptions{User: t.user, Parents: true}, strings.NewReader(content))
	if err != nil {
		return verdict(ctx, "write "+p, err)
	}
	return nil
}

var editTool = tool{
	name:        "edit",
	description: "Replaces one passage of a file of the sandbox. The old text must occur in it exactly once, white space included.",
	params: []param{
		{name: "path", kind: "string", description: "Path of the file, absolute or from the working directory.", required: true},
		{name: "old", kind: "string", description: "The passage as it stands, with enough around it to be unique.", required: true},
		{name: "new", kind: "string", description: "What takes its place.", required: true},
	},
	run: edit,
}

func edit(ctx context.Context, t *toolbox, args arguments) (string, error) {
	p := t.path(args.text("path"))
	file, err := t.sandbox.ReadFile(ctx, p, sandbox.Range{})
	if err != nil {
		return "", verdict(ctx, "edit "+p, err)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxEdit+1))
	file.Close()
	if err != nil {
		return "", verdict(ctx, "edit "+p, err)
	}
	if len(content) > maxEdit {
		return "", failure("edit %s: the file is larger than %d bytes; edit it with bash", p, maxEdit)
	}
	old, new := lineEndings(string(content), args.text("old")), lineEndings(string(content), args.text("new"))
	edited, err := replaceOnce(string(content), old, new)
	if err != nil {
		return "", failure("edit %s: %v", p, err)
	}
	if err := t.write(ctx, p, edited); err != nil {
		return "", err
	}
	return "edited " + p, nil
}

// lineEndings gives a passage the line endings of a file whose lines all end in CRLF, which read shows as plain newlines.
func lineEndings(file, passage string) string {
	crlf := strings.Count(file, "\r\n")
	if crlf == 0 || crlf != strings.Count(file, "\n") || strings.Contains(passage, "\r") {
		return passage
	}
	return strings.ReplaceAll(passage, "\n", "\r\n")
}

// replaceOnce replaces the one place where old stands.
func replaceOnce(text, old, new string) (string, error) {
	if old == "" {
		return "", errors.New("the old text is empty; use write for a whole file")
	}
	at := strings.Index(text, old)
	if at < 0 {
		if folded(text, old) {
			return "", fmt.Errorf("the old text does not occur in the file, but does with other white space: %s", quote(old))
		}
		return "", fmt.Errorf("the old text does not occur in the file: %s", quote(old))
	}
	// Searched from the next byte on, so that places that overlap count too.
	if again := strings.Index(text[at+1:], old); again >= 0 {
		line := func(i int) int { return 1 + strings.Count(text[:i], "\n") }
		return "", fmt.Errorf("the old text occurs more than once, in lines %d and %d; name more of what is around it", line(at), line(at+1+again))
	}
	return text[:at] + new + text[at+len(old):], nil
}

// folded tells whether old occurs in text when runs of white space are taken for equal.
func folded(text, old string) bool {
	fold := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	return fold(old) != "" && strings.Contains(fold(text), fold(old))
}
