package gateway

import (
	"net/http"

	"golang.org/x/net/http/httpguts"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// upgrade serves a request for a WebSocket.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request) {
	r, end := h.startSpan("upgrade", w, r)
	defer end(0)
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

// isUpgrade reports whether r asks for a WebSocket. On the server's own paths the
// headers mean nothing.
func isUpgrade(r *http.Request) bool {
	return r.Method == http.MethodGet && !isEndpoint(r) &&
		httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") && httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket")
}
