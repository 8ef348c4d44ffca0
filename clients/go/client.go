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
	// When it expires, members end for good: use TokenSource for tokens that do.
	Token string
	// TokenSource, if not nil, takes the place of Token.
	TokenSource TokenSource
	// TLS configures https and wss; nil means the defaults of Go.
	TLS *tls.Config
	// RetryMin and RetryMax bound the delay before a retry; 0.1 s and 10 s if zero.
	RetryMin, RetryMax time.Duration
	// MaxSilence is how long a member waits for anything from the server before it takes the
	// connection for dead and connects again; 15 s if zero. After two thirds of
	// it the member sends a ping, which a live server answers. A single
	// packet must arrive within it.
	MaxSilence time.Duration
}

// Timeouts of one attempt.
const (
	requestTimeout = 15 * time.Second
	dialTimeout    = 10 * time.Second
	// The default of Options.MaxSilence.
	defaultMaxSilence = 15 * time.Second
)

// Client is a client of one server, or of a load balancer in front of several. Close
// its members; the client itself needs no closing.
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

// New returns a client of the server at rawURL, such as "http://127.0.0.1:4998",
// "wss://chat.example.com", or "https://example.com/chat" for one that a proxy has put
// under a path. The schemes http and ws mean the same, and so do https and wss. New sends
// nothing.
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

// Close closes idle HTTP connections. The client can still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func parseBase(rawURL string) (url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return url.URL{}, errors.New("gotapi: the server's URL cannot be read") // the cause would repeat it, password and all
	}
	scheme, ok := map[string]string{"http": "http", "ws": "http", "https": "https", "wss": "https"}[u.Scheme]
	switch {
	case !ok:
		return url.URL{}, fmt.Errorf("gotapi: scheme %q of the server's URL is not http, https, ws or wss", u.Scheme)
	case u.Host == "":
		return url.URL{}, errors.New("gotapi: the server's URL names no host")
	case u.RawQuery != "", u.Fragment != "":
		return url.URL{}, errors.New("gotapi: the server's URL is scheme://host:port, and a path if a proxy has put the server under one")
	case u.User != nil:
		return url.URL{}, errors.New("gotapi: the server's URL holds a password; use Options.Token")
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

// locate makes sure that a server is at the path of the URL, if it has one. A server at
// the root would take that for the beginning of each group's name, and everything would
// seem to succeed.
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
		return &Error{Code: http.StatusNotFound, Msg: fmt.Sprintf("no gotapi-ws server is at the path %s of the URL, which must not name a group", c.base.Path)}
	}
}

func bearer(token string) http.Header {
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	return h
}

// checkGroup refuses what the server would.
func checkGroup(name string) error {
	if _, err := group.Parse(name); err != nil {
		return &Error{Code: http.StatusBadRequest, Msg: fmt.Sprintf("group %q: %v", name, err)}
	}
	return nil
}
