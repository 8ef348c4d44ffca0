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
	"time"
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
	if p.err == nil && p.text(groupName) == "" && mediaType(r) == contentTypeLines {
		h.publishBatch(w, r)
		return
	}
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
	if f := reserved(g); f != nil {
		f.write(w)
		return
	}
	id, err := h.backends.Callers.Identify(r, false)
	if err != nil {
		writeDenied(w, err)
		return
	}
	from := h.publisherOf(r, id)
	if f := h.mayPublish(g, from); f != nil {
		f.write(w)
		return
	}
	body, err := readBody(w, r, int64(h.maxBytes(g)))
	if err != nil {
		writeBodyError(w, err)
		return
	}
	if why := checkBody(mediaType(r), body); why != "" {
		httpjson.WriteError(w, http.StatusBadRequest, why)
		return
	}
	var p relay.Publication
	if why := h.classify(&p, g, body, from); why != "" {
		httpjson.WriteError(w, http.StatusBadRequest, why)
		return
	}
	wait := make(waiter, 1)
	p.From = wait
	p.Follow(r.Context(), h.backends.Tracer)
	h.backends.Publisher.Publish(&p)
	select {
	case result := <-wait:
		writeResult(w, &p, result)
	case <-r.Context().Done():
		w.WriteHeader(clientGone)
	}
}

// publisher is a sender of packets: its rights, and whose limits it uses.
type publisher struct {
	*access.Identity
	client string
}

func (h *Handler) publisherOf(r *http.Request, id *access.Identity) publisher {
	client := h.backends.Limits.Key(r, id.Name())
	setClient(r, client)
	return publisher{id, client}
}

// refusal is why a packet is not published.
type refusal struct {
	code int
	msg  string
	// When it may come again; 0: that is not known.
	again time.Duration
}

func (f *refusal) write(w http.ResponseWriter) {
	if f.again > 0 {
		writeTooMuch(w, f.again, f.msg)
		return
	}
	httpjson.WriteError(w, f.code, f.msg)
}

// reserved returns why nobody publishes to g; nil if that is possible.
func reserved(g group.Name) *refusal {
	switch {
	case g == group.Lobby:
		return &refusal{code: http.StatusForbidden, msg: "cannot publish to /: the path names the group, as in /room/1"}
	case !g.Publishable():
		return &refusal{code: http.StatusForbidden, msg: "only the server publishes to this group"}
	}
	return nil
}

// mayPublish returns why from may not publish to g now; nil if it may, which counts.
func (h *Handler) mayPublish(g group.Name, from publisher) *refusal {
	if err := from.May(access.Publish, g); err != nil {
		code, msg := access.Refusal(err)
		return &refusal{code: code, msg: msg}
	}
	if again := h.backends.Limits.Publish(g, from.Name()); again > 0 {
		return &refusal{http.StatusTooManyRequests, "too many messages", again}
	}
	return nil
}

// maxBytes is the size of the largest packet of a group.
func (h *Handler) maxBytes(g group.Name) int {
	return h.backends.Groups.Of(g).MaxBytes(int(h.reloadable.Load().MaxMessageBytes))
}

// waiter takes the result of one publication. It is a relay.Sender.
type waiter chan relay.Result

func (w waiter) Result(_ *relay.Publication, r relay.Result) { w <- r }

// checkBody returns why a body of that media type is no packet; "" if it is one.
func checkBody(mediaType string, body []byte) (why string) {
	switch {
	case len(body) == 0:
		return "the body is empty: it is the packet to publish"
	case !isJSON(mediaType):
	case !isJSONText(body):
		return "the body is not JSON: that is UTF-8 without a byte order mark"
	case isCutOff(body):
		return "the body is cut off: its JSON has no end"
	}
	return ""
}

// classify makes p a publication of a packet, or returns why it is none.
func (h *Handler) classify(p *relay.Publication, g group.Name, body []byte, from publisher) (why string) {
	c := packet.Classify(body)
	if kind, uuid, ok := c.Published(utf8.Valid(body)); ok {
		*p = relay.Publication{
			Group: g, Kind: kind, UUID: uuid, Payload: body,
			Number: h.published.Add(1), Author: from.Author(), By: from.By(), User: from.Name(), Client: from.client,
		}
		return ""
	}
	switch c.Kind {
	case packet.Ping, packet.Query:
		return "this command works over a WebSocket only"
	case packet.BadUUID:
		return "a uuid is 1 to 128 bytes of printable text"
	default:
		return "only the server sends packets of type 1, but for the commands 3 and 4"
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

// mediaType returns that of the body of r, without parameters.
func mediaType(r *http.Request) string {
	t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return t
}

// isJSON reports whether a media type is that of JSON.
func isJSON(mediaType string) bool {
	return mediaType == "application/json" || mediaType == "text/json" || strings.HasSuffix(mediaType, "+json")
}

// refusalOf returns why a packet was not published; nil if it was.
func refusalOf(r relay.Result) *refusal {
	if r.Again > 0 {
		return &refusal{http.StatusTooManyRequests, r.Reason, r.Again}
	}
	code := r.Outcome.Code()
	switch {
	case code == http.StatusOK:
		return nil
	case r.Outcome == relay.Unchecked: // the store has no part in it
		return &refusal{code: code, msg: r.Reason + "; nothing was done, try again"}
	}
	return &refusal{code: code, msg: refusalText(code, r.Reason)}
}

// writeResult answers a publish.
func writeResult(w http.ResponseWriter, p *relay.Publication, r relay.Result) {
	if f := refusalOf(r); f != nil {
		f.write(w)
		return
	}
	b := make([]byte, 0, 128+len(p.Group)+len(p.UUID))
	httpjson.Write(w, http.StatusOK, append(appendPublished(b, p, r), '}'))
}

// isStored reports whether a packet that was published is a message of its group's
// history.
func isStored(p *relay.Publication, r relay.Result) bool {
	return p.Kind == stream.Message && r.Seq > 0
}

// appendPublished appends what a publisher learns of a packet that was published, but for
// the end of the object.
func appendPublished(b []byte, p *relay.Publication, r relay.Result) []byte {
	b = append(b, `{"code":200,"group":`...)
	b = httpjson.AppendString(b, string(p.Group))
	if p.Kind != stream.Message {
		return append(b, `,"stored":false`...)
	}
	b = append(b, `,"stored":`...)
	b = strconv.AppendBool(b, isStored(p, r))
	b = append(b, `,"uuid":`...)
	b = httpjson.AppendString(b, p.UUID)
	b = append(b, `,"duplicate":`...)
	return strconv.AppendBool(b, r.Outcome == relay.Duplicate)
}
