package ws

import (
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/net/http/httpguts"

	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/edge/internal/origin"
)

const (
	handshakeTimeout = 10 * time.Second
	// An idle connection keeps this buffer. Larger reads bypass it.
	readBuffer = 512
)

// Subprotocol is what is spoken over a WebSocket.
type Subprotocol struct {
	// Name is selected if the client offers it.
	Name string
	// Header is how many bytes a message may have beside its packet.
	Header int
}

// Options of an Upgrader. A zero field means the default.
type Options struct {
	// Origin reports whether pages of this origin may connect; any by default. It
	// is not asked about requests without an Origin header, nor about pages from
	// the host itself.
	Origin func(origin string) bool
	// MaxMessage is the size of the largest packet that is accepted, bytes;
	// 32 KiB.
	MaxMessage int
}

// Upgrader makes WebSockets of HTTP requests.
type Upgrader struct {
	opts    Options
	gorilla websocket.Upgrader
}

// NewUpgrader returns an Upgrader.
func NewUpgrader(opts Options) *Upgrader {
	if opts.MaxMessage == 0 {
		opts.MaxMessage = 32 << 10
	}
	u := &Upgrader{opts: opts}
	u.gorilla = websocket.Upgrader{
		HandshakeTimeout: handshakeTimeout,
		ReadBufferSize:   readBuffer,
		WriteBufferPool:  &sync.Pool{}, // so that none is allocated: only we write
		CheckOrigin:      func(*http.Request) bool { return true },
		Error: func(w http.ResponseWriter, _ *http.Request, status int, _ error) {
			httpjson.WriteError(w, status, "the WebSocket handshake failed")
		},
	}
	return u
}

// Check reports whether a request can be upgraded. If not, it answers the request.
func (u *Upgrader) Check(w http.ResponseWriter, r *http.Request) bool {
	switch status, msg := u.refusal(r); status {
	case 0:
		return true
	case http.StatusUpgradeRequired:
		w.Header().Set("Sec-WebSocket-Version", "13")
		httpjson.WriteUpgradeRequired(w, r, msg)
	default:
		httpjson.WriteError(w, status, msg)
	}
	return false
}

func (u *Upgrader) refusal(r *http.Request) (status int, msg string) {
	from := r.Header.Get("Origin")
	switch {
	case r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1:
		return http.StatusBadRequest, "a WebSocket begins with a GET request of HTTP/1.1"
	case !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") || !httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket"):
		return http.StatusBadRequest, "a WebSocket begins with the headers Connection: upgrade and Upgrade: websocket"
	case !httpguts.HeaderValuesContainsToken(r.Header["Sec-Websocket-Version"], "13"):
		return http.StatusUpgradeRequired, "this server speaks version 13 of WebSocket"
	case !validKey(r.Header["Sec-Websocket-Key"]):
		return http.StatusBadRequest, "Sec-WebSocket-Key must be there once, 16 bytes in base64"
	case u.opts.Origin != nil && from != "" && !origin.IsOwn(from, r) && !u.opts.Origin(from):
		return http.StatusForbidden, "pages of this origin may not connect"
	}
	return 0, ""
}

func validKey(keys []string) bool {
	if len(keys) != 1 {
		return false
	}
	b, err := base64.StdEncoding.DecodeString(keys[0])
	return err == nil && len(b) == 16
}

// IsOffered reports whether a request offers the subprotocol. Gorilla reads only the first
// line of them.
func (p Subprotocol) IsOffered(r *http.Request) bool {
	for _, line := range r.Header["Sec-Websocket-Protocol"] {
		for offered := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(offered) == p.Name {
				return true
			}
		}
	}
	return false
}

// selected returns the header that selects the subprotocol, if it is offered.
func (p Subprotocol) selected(r *http.Request) http.Header {
	if !p.IsOffered(r) {
		return nil
	}
	return http.Header{"Sec-Websocket-Protocol": {p.Name}}
}

// Upgrade writes the 101, to speak p, and starts out. When it fails, the client has been
// answered or is gone.
//
// The handler should return soon after, and the connection be served by a new
// goroutine: net/http's stack and buffers stay as long as the handler runs.
func (u *Upgrader) Upgrade(w http.ResponseWriter, r *http.Request, p Subprotocol, out *Outbox) (*Conn, error) {
	h := &hijacker{ResponseWriter: w}
	g, err := u.gorilla.Upgrade(h, r, p.selected(r))
	if err != nil {
		return nil, err
	}
	h.socket.discardWrites = true
	h.socket.received.Store(true)
	c := &Conn{gorilla: g, socket: h.socket, out: out}
	g.SetReadLimit(int64(u.opts.MaxMessage + p.Header))
	g.SetPingHandler(c.ping)
	g.SetPongHandler(func(string) error { return nil })
	g.SetCloseHandler(func(int, string) error { return nil }) // Read returns it
	out.Start(h.socket.Conn)
	return c, nil
}
