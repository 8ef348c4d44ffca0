package gateway

import (
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// publish sends the body to g as one packet, whatever its Content-Type.
func (h *Handler) publish(w http.ResponseWriter, r *http.Request, g group.Name) {
	switch {
	case g == group.Lobby:
		WriteError(w, http.StatusForbidden, "nobody publishes to /: the path is the group, as in /room/1")
		return
	case !g.Publishable():
		WriteError(w, http.StatusForbidden, "only the server speaks in this group")
		return
	}
	id, err := h.backends.Callers.Identify(r, false)
	if err == nil {
		err = id.May(access.Publish, g)
	}
	if err != nil {
		writeDenied(w, err)
		return
	}
	if again := h.backends.Limits.Publish(g, id.Name()); again > 0 {
		writeTooMuch(w, again, "too many messages")
		return
	}
	body, err := readBody(w, r, h.MaxMessageBytes())
	if err != nil {
		writeBodyError(w, err)
		return
	}
	p, refusal := publication(g, body)
	if refusal != "" {
		WriteError(w, http.StatusBadRequest, refusal)
		return
	}
	p.Number, p.Author, p.User = h.published.Add(1), id.Author(), id.Name()
	answer := make(chan relay.Receipt, 1)
	p.Done = func(receipt relay.Receipt) { answer <- receipt }
	p.Follow(r.Context(), h.backends.Tracer)
	h.backends.Publish(p)
	select {
	case receipt := <-answer:
		writeReceipt(w, p, receipt)
	case <-r.Context().Done(): // nobody waits for the answer
	}
}

// publication turns a body into what the relay takes, or says why not.
func publication(g group.Name, body []byte) (p *relay.Publication, refusal string) {
	if len(body) == 0 {
		return nil, "the body is empty: it is the packet to publish"
	}
	c := packet.Classify(body)
	p = &relay.Publication{Group: g, Payload: body}
	switch c.Kind {
	case packet.Data:
		p.Kind, p.UUID = stream.Message, c.UUID
	case packet.Receipt:
		p.Kind = stream.Text
	case packet.Low:
		p.Kind = stream.Binary
		if utf8.Valid(body) {
			p.Kind = stream.Text
		}
	case packet.Ping, packet.Query:
		return nil, "this command works over a WebSocket only"
	case packet.BadUUID:
		return nil, "a uuid is 1 to 128 bytes of printable text"
	case packet.Dropped:
		return nil, "only the server sends packets of type 1, but for the commands 3 and 4"
	}
	return p, ""
}

// errTooLarge: the body is larger than allowed.
var errTooLarge = errors.New("the body is too large")

// readBody reads at most limit bytes. What is too large by its own account is
// not read at all.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	in := http.MaxBytesReader(w, r.Body, limit)
	if r.ContentLength < 0 {
		return io.ReadAll(in)
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(in, body)
	return body, err
}

func writeBodyError(w http.ResponseWriter, err error) {
	var tooLarge *http.MaxBytesError
	if errors.Is(err, errTooLarge) || errors.As(err, &tooLarge) {
		WriteError(w, http.StatusRequestEntityTooLarge, errTooLarge.Error())
		return
	}
	WriteError(w, http.StatusBadRequest, "the body cannot be read")
}

func writeReceipt(w http.ResponseWriter, p *relay.Publication, r relay.Receipt) {
	if code := r.Outcome.Code(); code != http.StatusOK {
		WriteError(w, code, refusalText(code, r.Reason))
		return
	}
	stored := p.Kind == stream.Message
	b := make([]byte, 0, 128+len(p.Group)+len(p.UUID))
	b = append(b, `{"code":200,"group":`...)
	b = appendString(b, string(p.Group))
	if stored {
		b = append(b, `,"stored":true,"uuid":`...)
		b = appendString(b, p.UUID)
		b = append(b, `,"duplicate":`...)
		b = appendBool(b, r.Outcome == relay.Duplicate)
	} else {
		b = append(b, `,"stored":false`...)
	}
	writeJSON(w, http.StatusOK, append(b, '}'))
}
