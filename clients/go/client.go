package gotapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gotapi/gotapi-ws/clients/go/internal/token"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Options are the settings of a Client; the zero value is valid.
type Options struct {
	// Token is sent with every request as "Authorization: Bearer", unless it is empty.
	// When it expires, members fail for good. Use TokenSource for tokens that expire.
	Token string
	// TokenSource, if not nil, replaces Token.
	TokenSource TokenSource
	// TLS configures https and wss; nil means Go's defaults.
	TLS *tls.Config
	// RetryMin and RetryMax bound the delay before a retry; 0.1 s and 10 s if zero.
	RetryMin, RetryMax time.Duration
	// MaxSilence is how long a member waits for data from the server before it reconnects;
	// 15 s if zero. After two thirds of it the member sends a ping, which a live server
	// answers. Each packet must arrive completely within MaxSilence.
	MaxSilence time.Duration
}

// Timeouts of one attempt.
const (
	requestTimeout = 15 * time.Second
	dialTimeout    = 10 * time.Second
	// The default of Options.MaxSilence.
	defaultMaxSilence = 15 * time.Second
)

// Client is a client of one server, or of a load balancer in front of several. Close its
// members when you are done with them. Closing the client itself is optional.
type Client struct {
	base url.URL // scheme http or https; its path, if any, does not end in a slash
	// A server has been found at the path of base.
	located atomic.Bool
	tokens  *token.Tokens
	http    http.Client
	dialer  websocket.Dialer
	backoff backoff.Policy
	silence time.Duration
}

// New returns a client of the server at rawURL, such as "http://127.0.0.1:4998" or
// "wss://chat.example.com". If a proxy serves it under a path, include that path, as in
// "https://example.com/chat". The schemes http and ws are equivalent, and so are https and
// wss. New does not connect.
func New(rawURL string, o Options) (*Client, error) {
	base, err := parseBase(rawURL)
	if err != nil {
		return nil, err
	}
	if o.RetryMin < 0 || o.RetryMax < 0 || o.MaxSilence < 0 {
		return nil, errors.New("gotapi: Options.RetryMin, RetryMax and MaxSilence cannot be negative")
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		transport = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	transport = transport.Clone()
	transport.TLSClientConfig = o.TLS
	transport.MaxIdleConnsPerHost = 64
	return &Client{
		base:    base,
		tokens:  token.New(o.Token, o.TokenSource),
		http:    http.Client{Transport: transport, Timeout: requestTimeout},
		dialer:  websocket.Dialer{Proxy: http.ProxyFromEnvironment, TLSClientConfig: o.TLS, HandshakeTimeout: dialTimeout},
		backoff: backoff.Policy{Min: o.RetryMin, Max: o.RetryMax},
		silence: cmp.Or(o.MaxSilence, defaultMaxSilence),
	}, nil
}

// Close closes idle HTTP connections. The client remains usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func parseBase(rawURL string) (url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return url.URL{}, errors.New("gotapi: the server's URL is malformed") // the cause would repeat it, password and all
	}
	scheme, ok := map[string]string{"http": "http", "ws": "http", "https": "https", "wss": "https"}[u.Scheme]
	switch {
	case !ok:
		return url.URL{}, fmt.Errorf("gotapi: scheme %q of the server's URL is not one of http, https, ws, wss", u.Scheme)
	case u.Host == "":
		return url.URL{}, errors.New("gotapi: the server's URL has no host")
	case u.RawQuery != "", u.Fragment != "":
		return url.URL{}, errors.New("gotapi: the server's URL must be scheme://host:port, or end in the path that a proxy serves it under")
	case u.User != nil:
		return url.URL{}, errors.New("gotapi: the server's URL must not hold a user or password; use Options.Token")
	}
	return url.URL{Scheme: scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}, nil
}

// target is the URL of a path of the server, exactly.
func (c *Client) target(path string, query url.Values) *url.URL {
	u := c.base
	u.Path, u.RawQuery = u.Path+path, query.Encode()
	// Go writes path segments such as "//" and ".." as they are, but does not
	// escape what a path may hold plainly and a query may not.
	return &u
}

// locate checks that a server is at the path of the URL, if it has one. A server at the
// root would treat the path as part of each group's name, and requests would succeed in the
// wrong groups.
func (c *Client) locate(ctx context.Context) error {
	if c.base.Path == "" || c.located.Load() {
		return nil
	}
	err := c.exchange(ctx, request{method: http.MethodGet, path: pathVersion}, "", &envelope{})
	switch code := CodeOf(err); {
	case err == nil:
		c.located.Store(true)
		return nil
	case code == 0 || passes(code):
		return err
	default:
		return &Error{Code: http.StatusNotFound, Msg: fmt.Sprintf("no gotapi-ws server at the URL's path %s, which must not be a group", c.base.Path)}
	}
}

func bearer(token string) http.Header {
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	return h
}

// checkGroup refuses a group that the server would refuse.
func checkGroup(name string) error {
	if _, err := group.Parse(name); err != nil {
		return &Error{Code: http.StatusBadRequest, Msg: fmt.Sprintf("group %q: %v", name, err)}
	}
	return nil
}
