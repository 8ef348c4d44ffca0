package gotapi

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gotapi/gotapi-ws/clients/go/internal/backoff"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Options are what a Client can be told; the zero value is good.
type Options struct {
	// Token goes with every request as "Authorization: Bearer"; none when empty.
	Token string
	// TLS is the configuration of https and wss; nil is that of Go.
	TLS *tls.Config
	// RetryMin and RetryMax bound the wait before something is tried again;
	// 0.1 s and 10 s when zero.
	RetryMin, RetryMax time.Duration
}

// Timeouts of one attempt.
const (
	requestTimeout = 15 * time.Second
	dialTimeout    = 10 * time.Second
)

// Client talks to one server, or to a balancer in front of several. It
// needs no closing; its members do.
type Client struct {
	base    url.URL // scheme http or https
	token   string
	http    http.Client
	dialer  websocket.Dialer
	backoff backoff.Policy
}

// New returns a client of the server at rawURL, such as "http://127.0.0.1:4998" or
// "wss://chat.example.com". Schemes http and ws mean the same, and so do https and wss.
// Nothing is sent yet.
func New(rawURL string, o Options) (*Client, error) {
	base, err := parseBase(rawURL)
	if err != nil {
		return nil, err
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
		token:   o.Token,
		http:    http.Client{Transport: transport, Timeout: requestTimeout},
		dialer:  websocket.Dialer{Proxy: http.ProxyFromEnvironment, TLSClientConfig: o.TLS, HandshakeTimeout: dialTimeout},
		backoff: backoff.Policy{Min: o.RetryMin, Max: o.RetryMax},
	}, nil
}

// Close drops the idle connections of HTTP. The client can still be used.
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
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return url.URL{}, errors.New("gotapi: the server's URL is scheme://host:port alone; the path is the group")
	case u.User != nil:
		return url.URL{}, errors.New("gotapi: the server's URL holds a password; use Options.Token")
	}
	return url.URL{Scheme: scheme, Host: u.Host}, nil
}

// target is the URL of a path of the server, exactly.
func (c *Client) target(path string, query url.Values) *url.URL {
	u := c.base
	u.Path, u.RawQuery = path, query.Encode()
	// Go writes path segments such as "//" and ".." as they are, but does not
	// escape what a path may hold plainly and a query may not.
	return &u
}

func (c *Client) header() http.Header {
	h := http.Header{}
	if c.token != "" {
		h.Set("Authorization", "Bearer "+c.token)
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
