package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// publishByName publishes to the group that the query names, for clients that cannot
// put a group name into a path as it is: those made from the OpenAPI document.
func (h *Handler) publishByName(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		writeFormError(w, err)
		return
	}
	p := params{values: query}
	p.only(groupName)
	if p.text(groupName) == "" {
		p.fail(groupName, "missing; it goes into the query string, as the body is the packet")
	}
	g, err := group.Parse(p.text(groupName))
	if err != nil {
		p.fail(groupName, err.Error())
	}
	if p.err != nil {
		httpjson.WriteError(w, http.StatusBadRequest, p.err.Error())
		return
	}
	h.publish(w, r, g)
}

// publish sends the body to g as one packet, whatever its Content-Type.
func (h *Handler) publish(w http.ResponseWriter, r *http.Request, g group.Name) {
	switch {
	case g == group.Lobby:
		httpjson.WriteError(w, http.StatusForbidden, "cannot publish to /: the path names the group, as in /room/1")
		return
	case !g.Publishable():
		httpjson.WriteError(w, http.StatusForbidden, "only the server publishes to this group")
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
	client := h.backends.Limits.Key(r, id.Name())
	setClient(r, client)
	if again := h.backends.Limits.Publish(g, id.Name()); again > 0 {
		writeTooMuch(w, again, "too many messages")
		return
	}
	body, err := readBody(w, r, h.reloadable.Load().MaxMessageBytes)
	if err != nil {
		writeBodyError(w, err)
		return
	}
	p, refusal := publication(g, r.Header.Get("Content-Type"), body)
	if refusal != "" {
		httpjson.WriteError(w, http.StatusBadRequest, refusal)
		return
	}
	p.Number, p.Author, p.By, p.User, p.Client = h.published.Add(1), id.Author(), id.By(), id.Name(), client
	wait := make(waiter, 1)
	p.From = wait
	p.Follow(r.Context(), h.backends.Tracer)
	h.backends.Publisher.Publish(p)
	select {
	case result := <-wait:
		writeResult(w, p, result)
	case <-r.Context().Done():
		w.WriteHeader(clientGone)
	}
}

// waiter takes the result of one publication. It is a relay.Sender.
type waiter chan relay.Result

func (w waiter) Result(_ *relay.Publication, r relay.Result) { w <- r }

// publication makes a Publication of a body, or returns why it is refused.
func publication(g group.Name, contentType string, body []byte) (p *relay.Publication, refusal string) {
	if len(body) == 0 {
		return nil, "the body is empty: it is the packet to publish"
	}
	if isJSON(contentType) {
		switch {
		case !isJSONText(body):
			return nil, "the body is not JSON: that is UTF-8 without a byte order mark"
		case isCutOff(body):
			return nil, "the body is cut off: its JSON has no end"
		}
	}
	c := packet.Classify(body)
	if kind, uuid, ok := c.Published(utf8.Valid(body)); ok {
		return &relay.Publication{Group: g, Kind: kind, UUID: uuid, Payload: body}, ""
	}
	switch c.Kind {
	case packet.Ping, packet.Query:
		return nil, "this command works over a WebSocket only"
	case packet.BadUUID:
		return nil, "a uuid is 1 to 128 bytes of printable text"
	default:
		return nil, "only the server sends packets of type 1, but for the commands 3 and 4"
	}
}

// isJSONText reports whether body is in the only encoding that RFC 8259, section 8.1,
// allows. JSON begins with two characters of ASCII, or one, so a NUL is UTF-16 or UTF-32.
func isJSONText(body []byte) bool {
	return utf8.Valid(body) && !bytes.HasPrefix(body, []byte("\ufeff")) && bytes.IndexByte(body[:min(len(body), 2)], 0) < 0
}

// isCutOff reports whether body is the beginning of an object or array of JSON. Other
// texts that are no JSON are what their senders mean: old programs send any text as JSON.
func isCutOff(body []byte) bool {
	text := bytes.TrimLeft(body, " \t\r\n")
	if len(text) == 0 || text[0] != '{' && text[0] != '[' || json.Valid(text) {
		return false
	}
	var first json.RawMessage
	return errors.Is(json.NewDecoder(bytes.NewReader(text)).Decode(&first), io.ErrUnexpectedEOF)
}

// isJSON reports whether a Content-Type is that of JSON.
func isJSON(contentType string) bool {
	mediaType, _, _ := mime.ParseMediaType(contentType)
	return mediaType == "application/json" || mediaType == "text/json" || strings.HasSuffix(mediaType, "+json")
}

// writeResult answers a publish.
func writeResult(w http.ResponseWriter, p *relay.Publication, r relay.Result) {
	if r.Again > 0 {
		writeTooMuch(w, r.Again, r.Reason)
		return
	}
	if code := r.Outcome.Code(); code != http.StatusOK {
		text := refusalText(code, r.Reason)
		if r.Outcome == relay.Unchecked { // the store has no part in it
			text = r.Reason + "; nothing was done, try again"
		}
		httpjson.WriteError(w, code, text)
		return
	}
	stored := p.Kind == stream.Message
	b := make([]byte, 0, 128+len(p.Group)+len(p.UUID))
	b = append(b, `{"code":200,"group":`...)
	b = httpjson.AppendString(b, string(p.Group))
	if stored {
		b = append(b, `,"stored":true,"uuid":`...)
		b = httpjson.AppendString(b, p.UUID)
		b = append(b, `,"duplicate":`...)
		b = strconv.AppendBool(b, r.Outcome == relay.Duplicate)
	} else {
		b = append(b, `,"stored":false`...)
	}
	httpjson.Write(w, http.StatusOK, append(b, '}'))
}
