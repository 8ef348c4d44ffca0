package gateway

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// upgrade serves a request for a WebSocket.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request) {
	r, end := h.startSpan("upgrade", w, r)
	defer end(0)
	if isV2(r) {
		h.upgradeV2(w, r)
		return
	}
	g, err := groupOf(r)
	if err != nil {
		h.metrics.count("upgrade", http.StatusBadRequest)
		httpjson.WriteError(w, http.StatusBadRequest, err.Error())
		return
	}
	id, err := h.mayUpgrade(r, g)
	if err != nil {
		h.metrics.count("upgrade", writeDenied(w, err))
		return
	}
	h.backends.Sockets.ServeHTTP(w, r, g, id)
}

// v2Path is where WebSockets speak gotapi.v2: their requests name the groups.
const v2Path = "/__/v2"

func isV2(r *http.Request) bool {
	return isLiteral(r) && strings.TrimSuffix(r.URL.Path, "/") == v2Path
}

// upgradeV2 serves a request for a WebSocket that speaks gotapi.v2.
func (h *Handler) upgradeV2(w http.ResponseWriter, r *http.Request) {
	id, err := h.backends.Callers.Identify(r, true)
	if err == nil {
		err = id.MayAny()
	}
	if err != nil {
		h.metrics.count("upgrade", writeDenied(w, err))
		return
	}
	h.backends.Sockets.ServeV2(w, r, id)
}

// serveNoV2 answers a request for v2Path that does not ask for a WebSocket.
func serveNoV2(w http.ResponseWriter, r *http.Request) {
	httpjson.WriteUpgradeRequired(w, r, "this path is for WebSockets with the subprotocol gotapi.v2")
}

// mayUpgrade returns the caller, and an error if they may not open a WebSocket there.
func (h *Handler) mayUpgrade(r *http.Request, g group.Name) (*access.Identity, error) {
	id, err := h.backends.Callers.Identify(r, true)
	if err != nil {
		return nil, err
	}
	return id, mayEnter(id, g)
}

// mayEnter returns nil if the caller may open a WebSocket there: in the lobby if they
// may join some group.
func mayEnter(id *access.Identity, g group.Name) error {
	if g == group.Lobby && id.JoinsAny() {
		return nil
	}
	return id.May(access.Join, g)
}

// isUpgrade reports whether r asks for a WebSocket. On the server's own paths, except
// v2Path, the headers mean nothing.
func isUpgrade(r *http.Request) bool {
	return r.Method == http.MethodGet && (!isEndpoint(r) || isV2(r)) &&
		httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") && httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket")
}
