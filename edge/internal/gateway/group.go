package gateway

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// serveGroup serves the path of a group: POST publishes, GET is a browser's page.
func (h *Handler) serveGroup(w http.ResponseWriter, r *http.Request) {
	g, err := groupOf(r)
	if err != nil {
		httpjson.WriteError(w, http.StatusBadRequest, err.Error())
		return
	}
	withMethods(everything, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			h.publish(w, r, g)
			return
		}
		w.Header().Add("Vary", "Accept")
		switch {
		case wantsPage(r):
			h.backends.Console.ServePage(w, r, g)
			return
		case wantsStream(r):
			h.streamGroup(w, r, g)
			return
		}
		h.serveNoUpgrade(w, r, g)
	})(w, r)
}

var errPathCut = errors.New("more path follows a question mark: percent-encode the group name")

// groupOf returns the group of a request's path. Some clients write "?" for each character
// that they cannot: what follows the first one would be the query, and the group another
// one that exists, such as the lobby.
func groupOf(r *http.Request) (group.Name, error) {
	if strings.HasPrefix(r.URL.RawQuery, "?") || strings.HasPrefix(r.URL.RawQuery, "/") {
		return "", errPathCut
	}
	return group.Parse(r.URL.Path)
}

// wantsPage reports whether r, a GET or HEAD of a group, comes from a person's
// browser. A request for an upgrade that is none does not get a page instead.
func wantsPage(r *http.Request) bool {
	return accepts(r, "text/html") && len(r.Header["Upgrade"]) == 0
}

// serveNoUpgrade answers a GET of a group that does not ask for a WebSocket: as the
// upgrade would be refused, for browsers do not show that answer to their pages, or else
// 426.
func (h *Handler) serveNoUpgrade(w http.ResponseWriter, r *http.Request, g group.Name) {
	if _, err := h.mayUpgrade(r, g); err != nil {
		writeDenied(w, err)
		return
	}
	msg := "this is a group: open it in a browser, or join it with a WebSocket client"
	if g.Publishable() {
		msg += "; POST publishes to it"
	}
	httpjson.WriteUpgradeRequired(w, r, msg)
}
