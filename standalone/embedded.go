package standalone

import (
	"context"
	"crypto/rand"
	"net/url"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// embedded is a Redis server in this process. It listens on the loopback
// interface, because the store speaks to Redis over a socket; a random password
// keeps the machine's other users out.
type embedded struct {
	srv *miniredis.Miniredis
	url string
}

func startEmbedded() (*embedded, error) {
	password := rand.Text()
	srv := miniredis.NewMiniRedis()
	srv.RequireAuth(password)
	if err := srv.Start(); err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: srv.Addr(), Path: "/0"}
	return &embedded{srv: srv, url: u.String()}, nil
}

// tick is how often keys are looked at for expiry: lifetimes are whole seconds.
const tick = time.Second

// serve moves the clock that expires keys, which does not run by itself, until ctx
// ends.
func (e *embedded) serve(ctx context.Context) error {
	defer e.srv.Close()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			e.srv.FastForward(now.Sub(last))
			last = now
		}
	}
}
