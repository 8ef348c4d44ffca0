package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gotapi/gotapi-ws/cli/internal/terminal"
	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/wire/group"
)

const (
	// maxBatchBytes bounds the packets of one request, well below the server's 4 MiB: escaping
	// makes them larger.
	maxBatchBytes = 1 << 20
	// maxLine bounds a line, as the server does.
	maxLine = 4 << 20
)

// runBatch publishes the lines of a file, or of standard input if that is "-".
func (a *app) runBatch(ctx context.Context, path string) error {
	in := a.In
	if path != "-" {
		f, err := os.Open(path) //nolint:gosec // the user names the file
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		in = f
	}
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.close()
	b := &batching{app: a, to: s, printer: a.printer()}
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, maxLine)
	for n := 1; scan.Scan(); n++ {
		if err := b.add(ctx, n, bytes.TrimSpace(scan.Bytes())); err != nil {
			return err
		}
	}
	if err := scan.Err(); err != nil {
		return usageError{fmt.Errorf("--batch: %w", err)}
	}
	return b.flush(ctx)
}

// batching is one run of `gotapi pub --batch`.
type batching struct {
	app     *app
	to      batches
	printer *printer

	packets []gotapi.Outgoing
	// Of each packet.
	lines []int
	bytes int
}

// add takes line n, and publishes what has gathered before it if that is enough.
func (b *batching) add(ctx context.Context, n int, text []byte) error {
	if len(text) == 0 {
		return nil
	}
	groups, packet, err := parseLine(text)
	if err != nil {
		if flushed := b.flush(ctx); flushed != nil {
			return flushed
		}
		return usagef("line %d: %w", n, err)
	}
	for _, g := range groups {
		if len(b.packets) == gotapi.MaxBatch || len(b.packets) > 0 && b.bytes+len(packet) > maxBatchBytes {
			if err := b.flush(ctx); err != nil {
				return err
			}
		}
		b.packets, b.lines = append(b.packets, gotapi.Outgoing{Group: g, Packet: packet}), append(b.lines, n)
		b.bytes += len(packet)
	}
	return nil
}

// parseLine reads a line as the server does.
func parseLine(text []byte) (groups []string, packet []byte, err error) {
	var l struct {
		Group        *string
		Groups       []string
		Packet       *string
		PacketBase64 []byte
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, nil, err
	}
	groups = l.Groups
	if l.Group != nil {
		groups = append(groups, *l.Group)
	}
	packet = l.PacketBase64
	if l.Packet != nil {
		packet = []byte(*l.Packet)
	}
	switch {
	case len(groups) == 0 || l.Group != nil && l.Groups != nil:
		return nil, nil, errors.New("want group or groups")
	case len(packet) == 0 || l.Packet != nil && l.PacketBase64 != nil:
		return nil, nil, errors.New("want packet or packetBase64")
	}
	for _, g := range groups {
		if _, err := group.Parse(g); err != nil {
			return nil, nil, fmt.Errorf("group %q: %w", g, err)
		}
	}
	return groups, packet, nil
}

// flush publishes what has gathered, and writes the results up to the first failure.
func (b *batching) flush(ctx context.Context) error {
	if len(b.packets) == 0 {
		return nil
	}
	began := time.Now()
	limited, cancel := b.app.limited(ctx)
	defer cancel()
	results := b.to.PublishBatch(limited, b.packets)
	took := float64(time.Since(began).Microseconds()) / 1000
	var failed error
	for i, r := range results {
		if r.Err != nil {
			if failed == nil {
				failed = fmt.Errorf("line %d: %w", b.lines[i], reach(r.Err))
			}
			continue
		}
		if err := b.write(b.packets[i].Group, r, took); err != nil {
			return err
		}
	}
	b.packets, b.lines, b.bytes = b.packets[:0], b.lines[:0], 0
	return failed
}

func (b *batching) write(group string, r gotapi.BatchResult, took float64) error {
	switch {
	case b.printer.asJSON:
		return b.printer.json(published{group, r.UUID, r.Stored, r.Duplicate, took})
	case r.UUID == "":
		return nil
	case r.Duplicate:
		b.printer.note(terminal.Yellow, "%s was stored before: this message was not published, and the first one stays", r.UUID)
	}
	return b.printer.line(terminal.Printable(r.UUID))
}
