package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/gotapi/gotapi-ws/cli/internal/terminal"
	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// record is a packet or an event as --json writes it (docs/cli.md).
type record struct {
	Event string `json:"event,omitempty"`
	Group string `json:"group"`
	UUID  string `json:"uuid,omitempty"`
	// The packet, if it is text; otherwise Base64 is.
	Packet string `json:"packet,omitempty"`
	Base64 []byte `json:"packet_base64,omitempty"`
	Reason string `json:"reason,omitempty"`
	// The number of the message in its group.
	Seq uint64 `json:"seq,omitempty"`
	// When it was stored, by the server's clock. If the transport does not tell, when it
	// came. RFC 3339.
	At *time.Time `json:"at,omitempty"`
	// The author: a user, or an API key.
	By  string `json:"by,omitempty"`
	Key string `json:"key,omitempty"`
}

func (r *record) setMeta(m gotapi.Meta) {
	r.Seq, r.By, r.Key = m.Seq, m.By, m.Key
	if !m.At.IsZero() {
		at := m.At.UTC()
		r.At = &at
	}
}

func (r *record) setPacket(data []byte) {
	if utf8.Valid(data) {
		r.Packet = string(data)
	} else {
		r.Base64 = data
	}
}

// printer writes results to standard output, and notes about them to standard error.
type printer struct {
	app         *app
	out, err    terminal.Palette
	progress    *terminal.Progress
	raw, asJSON bool
}

func (a *app) printer() *printer {
	return &printer{
		app: a, asJSON: a.settings.json, progress: terminal.NewProgress(a.Err),
		out: terminal.Palette(terminal.Colours(a.Out, a.Env)), err: terminal.Palette(terminal.Colours(a.Err, a.Env)),
	}
}

// json writes one object as one line.
func (p *printer) json(v any) error {
	p.progress.Clear()
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := p.app.Out.Write(line.Bytes())
	return err
}

// jsonLines writes each of all as one line.
func jsonLines[T any](p *printer, all []T) error {
	for _, v := range all {
		if err := p.json(v); err != nil {
			return err
		}
	}
	return nil
}

func (p *printer) line(text string) error {
	p.progress.Clear()
	_, err := fmt.Fprintln(p.app.Out, text)
	return err
}

// note writes a line about the command's progress, not a result.
func (p *printer) note(style terminal.Style, format string, args ...any) {
	p.progress.Clear()
	fmt.Fprintln(p.app.Err, p.err.Paint(style, terminal.Printable(fmt.Sprintf(format, args...))))
}

// count is a number of things for people: 1 group, 2 groups. noun is the singular.
func count[N int | int64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// event writes an event of a listener.
func (p *printer) event(e gotapi.Event, at time.Time) error {
	if p.asJSON {
		r := record{Event: e.Kind.String(), Group: e.Group, UUID: e.UUID, At: &at}
		r.setMeta(e.Meta)
		if e.Data != nil {
			r.setPacket(e.Data)
		}
		if e.Err != nil {
			r.Reason = e.Err.Error()
		}
		return p.json(r)
	}
	if !e.At.IsZero() {
		at = e.At
	}
	head := header{at: at.Format(time.TimeOnly), by: author(e.Meta)}
	switch e.Kind {
	case gotapi.Connected:
		p.note(terminal.Dim, "connected")
	case gotapi.Disconnected:
		p.note(terminal.Yellow, "disconnected: %v; trying again", e.Err)
	case gotapi.Recalled:
		if p.raw {
			return nil
		}
		return p.line(p.head(head, terminal.Red, e.UUID) + p.out.Paint(terminal.Red, "recalled"))
	default:
		return p.packet(e.Data, head)
	}
	return nil
}

// stored writes a message of a page of the history.
func (p *printer) stored(group string, page *gotapi.Page, i int) error {
	text := page.Packets[i]
	var meta gotapi.Meta
	if i < len(page.Meta) {
		meta = page.Meta[i]
	}
	if p.asJSON {
		r := record{Group: group, UUID: packet.Classify([]byte(text)).UUID, Packet: text}
		r.setMeta(meta)
		return p.json(r)
	}
	head := header{by: author(meta)}
	if !meta.At.IsZero() {
		head.at = meta.At.Format(time.DateTime)
	}
	return p.packet([]byte(text), head)
}

// header is what people see of a packet besides its uuid; "": nothing.
type header struct{ at, by string }

// author is the author for people. A user cannot pose as a key.
func author(m gotapi.Meta) string {
	switch {
	case m.Key != "":
		return "key " + m.Key
	case m.By != "":
		return "by " + m.By
	}
	return ""
}

// packet writes a packet for people, or unchanged with --raw.
func (p *printer) packet(data []byte, head header) error {
	if p.raw {
		p.progress.Clear()
		_, err := p.app.Out.Write(append(bytes.Clone(data), '\n'))
		return err
	}
	c := packet.Classify(data)
	switch c.Kind {
	case packet.Data:
		return p.line(p.head(head, terminal.Cyan, c.UUID) + terminal.Printable(content(data)))
	case packet.Receipt:
		return p.line(p.head(head, terminal.Dim, c.UUID) + p.out.Paint(terminal.Dim, "received"))
	}
	if !utf8.Valid(data) {
		return p.line(p.head(head, terminal.Dim, "-") + p.out.Paint(terminal.Dim, count(len(data), "byte")))
	}
	return p.line(p.head(head, terminal.Dim, "-") + terminal.Printable(string(data)))
}

// head is the text before a packet: the time, if there is one, its uuid, and the author.
func (p *printer) head(h header, style terminal.Style, uuid string) string {
	if uuid == "" {
		uuid = "-"
	}
	head := p.out.Paint(style, terminal.Printable(uuid)) + "  "
	if h.at != "" {
		head = p.out.Paint(terminal.Dim, h.at) + "  " + head
	}
	if h.by != "" {
		head += p.out.Paint(style, terminal.Printable(h.by)) + "  "
	}
	return head
}

// content returns the readable part of a data packet: the text in body.data, or else the body.
func content(data []byte) string {
	var p struct{ Body json.RawMessage }
	var body struct{ Data json.RawMessage }
	var text string
	if json.Unmarshal(data, &p) != nil || json.Unmarshal(p.Body, &body) != nil {
		return string(data)
	}
	if json.Unmarshal(body.Data, &text) == nil && body.Data[0] == '"' {
		return text
	}
	return string(p.Body)
}
