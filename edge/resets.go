package edge

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A client of HTTP/2 may give up requests, as a browser does that leaves a page: a burst on
// one connection, and one more each resetInterval. A request costs the server more
// than the client that resets it at once (CVE-2023-44487), and net/http bounds how many are
// under way, not how many come.
const (
	resetBurst    = 100
	resetInterval = 100 * time.Millisecond
)

type connKey struct{}

// connContext is a hook of http.Server.
func connContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, boundedOf(conn))
}

// withResetLimit closes connections that reset too many requests. One of a trusted proxy
// has the requests of many clients, and no limit.
func (b *bounds) withResetLimit(h http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connKey{}).(*boundedConn)
		if r.ProtoMajor != 2 || c == nil || c.proxy {
			h.ServeHTTP(w, r)
			return
		}
		if r.Context().Err() == nil {
			h.ServeHTTP(w, r)
		}
		if r.Context().Err() != nil && c.resets.tooMany() {
			b.giveWay(c, tooManyResets)
		}
	}
}

// resets counts the requests that a connection has reset.
type resets struct {
	once    sync.Once
	limiter *rate.Limiter
}

// tooMany counts one more, and reports whether there are too many.
func (r *resets) tooMany() bool {
	r.once.Do(func() { r.limiter = rate.NewLimiter(rate.Every(resetInterval), resetBurst) })
	return !r.limiter.Allow()
}
