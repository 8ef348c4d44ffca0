package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/header"
)

const (
	// eventsPath streams many groups, and serves long polls.
	eventsPath = "/__/events"
	// maxStreamBody is the largest body that names the groups of a stream.
	maxStreamBody = 256 << 10
	// maxWait is how long a long poll may wait: a little less than proxies do.
	maxWait = 50 * time.Second
)

// isStream reports whether r asks for a stream or a long poll.
func isStream(r *http.Request) bool {
	return wantsStream(r) || isLiteral(r) && strings.TrimSuffix(r.URL.Path, "/") == eventsPath
}

// wantsStream reports whether r asks for the stream of a group.
func wantsStream(r *http.Request) bool {
	return r.Method == http.MethodGet && !isEndpoint(r) && len(r.Header["Upgrade"]) == 0 &&
		accepts(r, "text/event-stream") && !wantsPage(r)
}

// streamGroup streams a group. EventSource names the position in a header when it comes
// back.
func (h *Handler) streamGroup(w http.ResponseWriter, r *http.Request, g group.Name) {
	id, err := h.backends.Callers.Identify(r, false)
	if err != nil {
		writeDenied(w, err)
		return
	}
	p := queryParams(r)
	from := p.text("from")
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		from = last
	}
	last := header.Integer{Value: uint64(p.int32("last", 0, header.MaxLast)), Set: p.given("last")}
	if p.err != nil {
		httpjson.WriteError(w, http.StatusBadRequest, p.err.Error())
		return
	}
	h.backends.Streams.ServeGroup(w, r, id, g, from, last)
}

// queryParams are those of the query of r alone.
func queryParams(r *http.Request) params {
	values, err := url.ParseQuery(r.URL.RawQuery)
	return params{values: values, err: err}
}

// serveEvents streams the groups that a body names, or answers a long poll.
func (h *Handler) serveEvents(w http.ResponseWriter, r *http.Request) {
	id, err := h.backends.Callers.Identify(r, false)
	if err == nil && r.Method == http.MethodPost {
		err = id.MayAny()
	}
	if err != nil {
		writeDenied(w, err)
		return
	}
	if r.Method == http.MethodPost {
		setClient(r, h.backends.Limits.Key(r, id.Name()))
		body, err := readBody(w, r, maxStreamBody)
		if err != nil {
			writeBodyError(w, err)
			return
		}
		h.backends.Streams.ServeGroups(w, r, id, body)
		return
	}
	p := queryParams(r)
	g, from := p.group(), p.text("from")
	wait := time.Duration(p.int32("wait", 0, int64(maxWait/time.Second))) * time.Second
	p.only(groupName)
	if p.err != nil {
		httpjson.WriteError(w, http.StatusBadRequest, p.err.Error())
		return
	}
	h.backends.Streams.ServePoll(w, r, id, group.Name(g), from, wait)
}
