// Package caller finds out who sent a request: it takes the credential from its header,
// subprotocol or cookie, and asks the access.Authorizer. Pages of other origins
// cannot use the cookie.
package caller

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/origin"
)

// BearerProtocol begins the WebSocket subprotocol that carries a token,
// percent-encoded: browsers cannot set headers on WebSockets.
const BearerProtocol = "gotapi.bearer."

// Callers knows the callers of an edge.
type Callers struct {
	authorizer *access.Authorizer
	// Whether pages of an origin other than the host's may use the cookie.
	trusted func(origin string) bool
}

// New returns Callers. trusted reports whether the operator named an origin; patterns that
// match origins of strangers do not count.
func New(authorizer *access.Authorizer, trusted func(origin string) bool) *Callers {
	return &Callers{authorizer: authorizer, trusted: trusted}
}

// Checked reports whether callers must say who they are.
func (c *Callers) Checked() bool { return !c.authorizer.Open() }

// ActAs is the header with the user that a backend acts for (access.Identity.ActAs).
const ActAs = "X-Act-As"

// Identify returns who sent r, and acts for the user of the header ActAs. Its error is an
// *access.DeniedError. upgrade means that r asks for a WebSocket.
func (c *Callers) Identify(r *http.Request, upgrade bool) (*access.Identity, error) {
	id, err := c.identify(r, upgrade)
	users := r.Header[ActAs]
	switch {
	case err != nil || len(users) == 0:
		return id, err
	case upgrade:
		return nil, &access.DeniedError{Status: http.StatusBadRequest, Reason: access.BadUser, Msg: "X-Act-As is for HTTP requests, not for WebSockets"}
	case len(users) > 1:
		return nil, &access.DeniedError{Status: http.StatusBadRequest, Reason: access.BadUser, Msg: "X-Act-As must be there once"}
	}
	return id.ActAs(users[0])
}

func (c *Callers) identify(r *http.Request, upgrade bool) (*access.Identity, error) {
	if c.authorizer.Open() {
		return c.authorizer.Identify(r.Context(), "")
	}
	credential, err := c.credential(r, upgrade)
	if err != nil {
		return nil, err
	}
	return c.authorizer.Identify(r.Context(), credential)
}

// Bearer is the token of the header Authorization.
func Bearer(r *http.Request) (token string, ok bool) {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), found && strings.EqualFold(scheme, "Bearer")
}

// credential returns what the caller presents, the most explicit way first; "" if it
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
	if c.authorizer.Cookie() == "" {
		return "", nil
	}
	cookies := r.CookiesNamed(c.authorizer.Cookie())
	if len(cookies) == 0 || cookies[0].Value == "" {
		return "", nil
	}
	if !c.mayUseCookie(r, upgrade) {
		return "", &access.DeniedError{Status: http.StatusForbidden, Reason: access.ForeignOrigin, Msg: "pages of this origin may not use the cookie"}
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
				return "", false, &access.DeniedError{Status: http.StatusUnauthorized, Reason: access.BadToken, Msg: "the token in the subprotocol is not percent-encoded"}
			}
			return token, true, nil
		}
	}
	return "", false, nil
}

// mayUseCookie keeps pages of other sites from acting with the cookie that a browser
// adds by itself (cross-site request forgery, and the same with WebSockets). A browser
// names the origin with every POST and every upgrade. Without one it only reads; if it
// does so for another site, Sec-Fetch-Site says so.
func (c *Callers) mayUseCookie(r *http.Request, upgrade bool) bool {
	if from := r.Header.Get("Origin"); from != "" {
		return origin.IsOwn(from, r) || c.trusted(from)
	}
	reads := (r.Method == http.MethodGet || r.Method == http.MethodHead) && !upgrade
	return reads && r.Header.Get("Sec-Fetch-Site") != "cross-site"
}
