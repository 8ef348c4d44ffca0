package gateway

import (
	"net/http"

	"github.com/rs/cors"
)

// preflightAge is how long a browser may remember a preflight, seconds.
const preflightAge = 600

// newCORS lets pages of those origins read answers, without credentials.
// Without origins, no pages may.
func newCORS(origins []string) *cors.Cors {
	opts := cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders: []string{"*"},
		ExposedHeaders: []string{"Etag", "Retry-After", traceHeader},
		MaxAge:         preflightAge,
	}
	if len(origins) == 0 { // which rs/cors takes for any
		opts.AllowOriginFunc = func(string) bool { return false }
	}
	return cors.New(opts)
}

// Origins returns a function that reports whether an origin is one of those, by the
// rules for answers over HTTP.
func Origins(origins []string) func(origin string) bool {
	c := newCORS(origins)
	return func(origin string) bool {
		return c.OriginAllowed(&http.Request{Header: http.Header{"Origin": {origin}}})
	}
}
