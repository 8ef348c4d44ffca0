package ws

import (
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	handshakeTimeout = 10 * time.Second
	// An idle connection keeps this buffer. Larger reads bypass it.
	readBuffer = 512
)

// Subprotocol is the one that this server speaks. Clients need not offer any:
// browsers that carry a token in another one have to offer this one, too, as
// they accept no answer that selects none of what they offered.
const Subprotocol = "gotapi.v1"

// Options of an Upgrader. A zero field means the default.
type Options struct {
	// Origin says whether pages of this origin may connect; any by default.
	// It is not asked about requests without an Origin header, nor about those
	// of pages from the host itself.
	Origin func(origin string) bool
	// MaxMessage is the size of the largest message that is accepted, bytes;
	// 32 KiB.
	MaxMessage int
	// WriteError answers a request that is refused: a JSON error in production.
	WriteError func(w http.ResponseWriter, status int, msg string)
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
	if opts.WriteError == nil {
		opts.WriteError = func(w http.ResponseWriter, status int, msg string) { http.Error(w, msg, status) }
	}
	u := &Upgrader{opts: opts}
	u.gorilla = websocket.Upgrader{
		HandshakeTimeout: handshakeTimeout,
		ReadBufferSize:   readBuffer,
		WriteBufferPool:  &sync.Pool{}, // so that none is allocated: only we write
		CheckOrigin:      func(*http.Request) bool { return true },
		Subprotocols:     []string{Subprotocol},
		Error: func(w http.ResponseWriter, _ *http.Request, status int, _ error) {
			opts.WriteError(w, status, "the WebSocket handshake failed")
		},
	}
	return u
}

// Check answers a request that cannot be upgraded, and says whether it can.
func (u *Upgrader) Check(w http.ResponseWriter, r *http.Request) bool {
	status, msg := u.refusal(r)
	if status == 0 {
		return true
	}
	if status == http.StatusUpgradeRequired {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-WebSocket-Version", "13")
	}
	u.opts.WriteError(w, status, msg)
	return false
}

func (u *Upgrader) refusal(r *http.Request) (status int, msg string) {
	origin := r.Header.Get("Origin")
	switch {
	case r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1:
		return http.StatusBadRequest, "a WebSocket begins with a GET request of HTTP/1.1"
	case !hasToken(r.Header, "Connection", "upgrade") || !hasToken(r.Header, "Upgrade", "websocket"):
		return http.StatusBadRequest, "a WebSocket begins with the headers Connection: upgrade and Upgrade: websocket"
	case !hasToken(r.Header, "Sec-WebSocket-Version", "13"):
		return http.StatusUpgradeRequired, "this server speaks version 13 of WebSocket"
	case !validKey(r.Header.Get("Sec-WebSocket-Key")):
		return http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64"
	case u.opts.Origin != nil && origin != "" && !isOwn(origin, r.Host) && !u.opts.Origin(origin):
		return http.StatusForbidden, "pages of this origin may not connect"
	}
	return 0, ""
}

// isOwn says whether a page of that origin came from this host: the scheme is
// not compared, since a proxy may have ended TLS.
func isOwn(origin, host string) bool {
	_, from, ok := strings.Cut(origin, "://")
	return ok && strings.EqualFold(from, host)
}

func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for field := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(field), token) {
				return true
			}
		}
	}
	return false
}

func validKey(key string) bool {
	b, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(b) == 16
}

// Upgrade writes the 101 and starts out. When it fails, the client has been
// answered or is gone.
//
// The handler should return soon after, and the connection be served by a new
// goroutine: net/http's stack and buffers stay as long as the handler runs.
func (u *Upgrader) Upgrade(w http.ResponseWriter, r *http.Request, out *Outbox) (*Conn, error) {
	h := &hijacker{ResponseWriter: w}
	g, err := u.gorilla.Upgrade(h, r, nil)
	if err != nil {
		return nil, err
	}
	h.socket.mute = true
	h.socket.heard.Store(true)
	c := &Conn{gorilla: g, socket: h.socket, out: out}
	g.SetReadLimit(int64(u.opts.MaxMessage))
	g.SetPingHandler(c.ping)
	g.SetPongHandler(func(string) error { return nil })
	g.SetCloseHandler(func(int, string) error { return nil }) // Read returns it
	out.Start(h.socket.Conn)
	return c, nil
}
