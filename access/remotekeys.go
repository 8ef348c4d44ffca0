package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	// How long one fetch may take, and how much it may bring.
	fetchTimeout  = 10 * time.Second
	maxFetchBytes = 1 << 20
	// How long after the beginning of a fetch callers with tokens of unknown keys wait
	// for it, and how many do: a URL that hangs holds up few requests, and those not long.
	askTimeout = 2 * time.Second
	maxAsking  = 32
	// The least time between two fetches, however many tokens name unknown keys.
	fetchPause = 5 * time.Second
)

// remoteKeys are the keys behind a URL. It fetches them now and then, and when a token
// names a key that is not known: so a rotation is noticed at once, and forged key
// ids cost a fetch in 5 seconds at most. While fetches fail, the last good keys stay
// until they are too old.
type remoteKeys struct {
	url string
	// How often the keys are fetched, and how old they may be; 0: of any age.
	every, maxAge time.Duration
	log           *slog.Logger
	// Called after the keys have changed.
	changed func()
	// Holds a value while a fetch is requested.
	requests chan struct{}
	// A semaphore of callers that wait for a fetch.
	asking chan struct{}

	mu     sync.Mutex
	client *http.Client
	ring   keyring
	// When the fetch began that brought the keys; zero: there are none.
	fetched time.Time
	// When the last fetch began, whether it is under way, and else whether it was good.
	began          time.Time
	underWay, good bool
	// Closed, and replaced, when a fetch ends.
	next chan struct{}
}

func newRemoteKeys(cfg *Config, log *slog.Logger, changed func()) *remoteKeys {
	return &remoteKeys{
		url: cfg.JWKSURL, every: cfg.JWKSRefresh, maxAge: cfg.JWKSMaxAge, log: log, changed: changed,
		requests: make(chan struct{}, 1),
		asking:   make(chan struct{}, maxAsking),
		next:     make(chan struct{}),
		client:   newFetcher(nil),
	}
}

// newFetcher returns a client that trusts these authorities; nil: the machine's.
func newFetcher(authorities *x509.CertPool) *http.Client {
	c := &http.Client{
		Timeout: fetchTimeout,
		// The URL that the operator chose, and no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if authorities != nil {
		transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is not replaced here
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities}
		c.Transport = transport
	}
	return c
}

// trust makes the fetches from now on trust these authorities only.
func (r *remoteKeys) trust(authorities *x509.CertPool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.client.CloseIdleConnections()
	r.client = newFetcher(authorities)
}

// keys are the last good ones; none if there have never been any, or if they are too old.
func (r *remoteKeys) keys() keyring {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ring
}

// refresh asks for a fetch, unless there was one a moment ago, and waits for it if
// few others do. It reports whether the keys are those that the URL has now.
func (r *remoteKeys) refresh(ctx context.Context) (current bool) {
	r.mu.Lock()
	next, recent, good := r.next, r.recent(), r.good
	patience := askTimeout
	if r.underWay {
		patience -= time.Since(r.began)
	}
	r.mu.Unlock()
	if recent {
		return good
	}
	select {
	case r.requests <- struct{}{}:
	default:
	}
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	default:
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-next:
	case <-ctx.Done():
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.good
}

// recent reports whether a fetch has ended that began a moment ago. The caller locks.
func (r *remoteKeys) recent() bool {
	return !r.underWay && !r.began.IsZero() && time.Since(r.began) < fetchPause
}

// justFetched reports whether a fetch was requested while another was under way,
// which has served the request.
func (r *remoteKeys) justFetched() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recent()
}

// run fetches until ctx ends.
func (r *remoteKeys) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for well := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-r.requests:
			if r.justFetched() {
				continue
			}
		}
		err := r.fetch(ctx)
		wait := r.every
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = min(fetchPause, r.every)
			if well {
				r.log.WarnContext(ctx, "fetch keys of tokens: keep the previous ones", "error", err)
			}
		case !well:
			r.log.InfoContext(ctx, "keys of tokens fetched again")
		}
		well = err == nil
		timer.Reset(wait)
	}
}

// fetch takes the place of the keys by what the URL has, if that is good.
func (r *remoteKeys) fetch(ctx context.Context) error {
	began := time.Now()
	r.mu.Lock()
	r.began, r.underWay = began, true
	client := r.client
	r.mu.Unlock()
	ring, err := r.get(ctx, client)
	r.mu.Lock()
	changed := err == nil
	switch {
	case err == nil:
		r.ring, r.fetched = ring, began
	case r.ring != nil && r.maxAge > 0 && time.Since(r.fetched) > r.maxAge:
		r.ring, changed = nil, true
		r.log.ErrorContext(ctx, "keys of tokens are too old: refuse tokens until a fetch succeeds", "age", time.Since(r.fetched))
	}
	r.mu.Unlock()
	if changed {
		r.changed()
	}
	r.mu.Lock()
	r.underWay, r.good = false, err == nil
	close(r.next)
	r.next = make(chan struct{})
	r.mu.Unlock()
	return err
}

func (r *remoteKeys) get(ctx context.Context, client *http.Client) (keyring, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, errors.Unwrap(err) // without the URL, which may hold a password: errors get into logs
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s", response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxFetchBytes+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxFetchBytes {
		return nil, errors.New("the answer is larger than 1 MiB")
	}
	return parseJWKS(body, false)
}
