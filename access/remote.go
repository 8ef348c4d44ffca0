package access

import (
	"context"
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
	// How long the caller with a token of an unknown key waits for a fetch.
	askTimeout = 3 * time.Second
	// The least time between two fetches, however many tokens name unknown keys.
	fetchPause = 5 * time.Second
)

// remote is the keys behind a URL. It fetches them now and then, and when a token
// names a key that is not known: so a rotation is noticed at once, and forged key
// ids cost a fetch in 5 seconds at most. While fetches fail the last good keys stay.
type remote struct {
	url    string
	every  time.Duration
	client *http.Client
	log    *slog.Logger
	// Called after the keys have changed.
	changed func()
	// Holds a token when somebody asks for a fetch.
	asked chan struct{}

	mu   sync.Mutex
	ring keyring
	// Whether there has been a good answer.
	fetched bool
	// When the last fetch began, and the number of fetches that have ended.
	began time.Time
	ended uint64
	// Closed, and replaced, when a fetch ends.
	next chan struct{}
}

func newRemote(url string, every time.Duration, log *slog.Logger, changed func()) *remote {
	return &remote{
		url: url, every: every, log: log, changed: changed,
		client: &http.Client{
			Timeout: fetchTimeout,
			// The URL that the operator chose, and no other.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		asked: make(chan struct{}, 1),
		next:  make(chan struct{}),
	}
}

// keys are the last good ones; ok is false if there have never been any.
func (r *remote) keys() (ring keyring, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ring, r.fetched
}

// refresh asks for a fetch, unless there was one a moment ago, and waits for it.
func (r *remote) refresh(ctx context.Context) {
	r.mu.Lock()
	next := r.next
	recent := r.recent()
	r.mu.Unlock()
	if recent {
		return
	}
	select {
	case r.asked <- struct{}{}:
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	select {
	case <-next:
	case <-ctx.Done():
	}
}

// recent says whether there was a fetch a moment ago. The caller locks.
func (r *remote) recent() bool { return r.ended > 0 && time.Since(r.began) < fetchPause }

// answered says whether somebody asked for a fetch while one was under way,
// which has answered them.
func (r *remote) answered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recent()
}

// run fetches until ctx ends.
func (r *remote) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for well := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-r.asked:
			if r.answered() {
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
				r.log.WarnContext(ctx, "keys of tokens cannot be fetched, the last ones stay", "error", err)
			}
		case !well:
			r.log.InfoContext(ctx, "keys of tokens are fetched again")
		}
		well = err == nil
		timer.Reset(wait)
	}
}

// fetch takes the place of the keys by what the URL has, if that is good.
func (r *remote) fetch(ctx context.Context) error {
	r.mu.Lock()
	r.began = time.Now()
	r.mu.Unlock()
	ring, err := r.get(ctx)
	r.mu.Lock()
	if err == nil {
		r.ring, r.fetched = ring, true
	}
	r.mu.Unlock()
	if err == nil {
		r.changed()
	}
	r.mu.Lock()
	r.ended++
	close(r.next)
	r.next = make(chan struct{})
	r.mu.Unlock()
	return err
}

func (r *remote) get(ctx context.Context) (keyring, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := r.client.Do(request)
	if err != nil {
		return nil, errors.Unwrap(err) // without the URL, which may hold a password: errors get into logs
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", response.Status)
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
