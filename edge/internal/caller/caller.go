// Package caller finds out who sent a request: it takes the credential out of the
// request, wherever that may stand, and asks the Guard. Pages of other origins
// cannot borrow a cookie.
package caller

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gotapi/gotapi-ws/access"
)

// BearerProtocol begins the WebSocket subprotocol that carries a token,
// percent-encoded: browsers cannot set headers on WebSockets.
const BearerProtocol = "gotapi.bearer."

// Callers knows the callers of an edge.
type Callers struct {
	guard *access.Guard
	// Whether pages of an origin other than the host's may use the cookie.
	trusted func(origin string) bool
}

// New returns Callers. trusted says which origins were named by the operator: a
// "*" does not count.
func New(guard *access.Guard, trusted func(origin string) bool) *Callers {
	return &Callers{guard: guard, trusted: trusted}
}

// Checked says whether anybody is asked who they are.
func (c *Callers) Checked() bool { return !c.guard.Open() }

// Identify returns who sent r. Its error is an *access.DeniedError. upgrade says
// that r asks for a WebSocket.
func (c *Callers) Identify(r *http.Request, upgrade bool) (*access.Identity, error) {
	if c.guard.Open() {
		return c.guard.Identify(r.Context(), "")
	}
	credential, err := c.credential(r, upgrade)
	if err != nil {
		return nil, err
	}
	return c.guard.Identify(r.Context(), credential)
}

// Bearer is the token of the header Authorization.
func Bearer(r *http.Request) (token string, ok bool) {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), found && strings.EqualFold(scheme, "Bearer")
}

// credential is what the caller presents, the most explicit way first; "" if it
// is nothing.
func (c *Callers) credential(r *http.Request, upgrade bool) (string, error) {
	if token, ok := Bearer(r); ok {
		return token, nil
	}
	if key := r.Header.Get("X-API-Key"); key != "" {
		return key, nil
	}
	if upgrade {
		if token, ok, err := subprotocol(r); ok || err != nil {
			return token, err
		}
	}
	if c.guard.Cookie() == "" {
		return "", nil
	}
	cookies := r.CookiesNamed(c.guard.Cookie())
	if len(cookies) == 0 || cookies[0].Value == "" {
		return "", nil
	}
	if !c.mayUseCookie(r, upgrade) {
		return "", &access.DeniedError{Status: http.StatusForbidden, Msg: "pages of this origin may not use the cookie"}
	}
	return cookies[0].Value, nil
}

func subprotocol(r *http.Request) (token string, ok bool, err error) {
	for _, line := range r.Header["Sec-Websocket-Protocol"] {
		for offered := range strings.SplitSeq(line, ",") {
			encoded, found := strings.CutPrefix(strings.TrimSpace(offered), BearerProtocol)
			if !found {
				continue
			}
			token, err := url.PathUnescape(encoded)
			if err != nil || token == "" {
				return "", false, &access.DeniedError{Status: http.StatusUnauthorized, Msg: "the token in the subprotocol is not percent-encoded"}
			}
			return token, true, nil
		}
	}
	return "", false, nil
}

// mayUseCookie keeps pages of strangers from acting with the cookie that a browser
// adds by itself (cross-site request forgery, and the same with WebSockets). A
// browser names the origin with every POST and every upgrade; who reads across
// origins without one does not get to see the answer, and says so in
// Sec-Fetch-Site.
func (c *Callers) mayUseCookie(r *http.Request, upgrade bool) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		return ownOrigin(origin, r.Host) || c.trusted(origin)
	}
	reads := (r.Method == http.MethodGet || r.Method == http.MethodHead) && !upgrade
	return reads && r.Header.Get("Sec-Fetch-Site") != "cross-site"
}

// ownOrigin says whether a page came from this host: the scheme is not compared,
// since a proxy may have ended TLS.
func ownOrigin(origin, host string) bool {
	_, from, ok := strings.Cut(origin, "://")
	return ok && strings.EqualFold(from, host)
}
