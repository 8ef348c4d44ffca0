package edge

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
)

// isBasePath matches paths that mean the same to proxies, browsers, and this server.
var isBasePath = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`).MatchString

// basePath is -base-path without the slash at its end; "": the server has its host for
// itself.
func (c *Config) basePath() string { return strings.TrimSuffix(c.BasePath, "/") }

// withBasePath serves what is under base as if it were at the root, and nothing else.
func withBasePath(h http.Handler, base string) http.Handler {
	if base == "" {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner, ok := under(base, r)
		if !ok {
			w.Header().Set("X-Content-Type-Options", "nosniff")
			httpjson.WriteError(w, http.StatusNotFound, "this server's paths begin with "+base+"/ (-base-path)")
			return
		}
		h.ServeHTTP(w, inner)
	})
}

// under returns r as it would be without base, which must be spelled literally.
func under(base string, r *http.Request) (*http.Request, bool) {
	path, ok := cutBase(r.URL.Path, base)
	if !ok {
		return nil, false
	}
	raw := r.URL.RawPath
	if raw != "" {
		if raw, ok = cutBase(raw, base); !ok {
			return nil, false
		}
	}
	inner := r.WithContext(r.Context())
	url := *r.URL
	url.Path, url.RawPath = path, raw
	inner.URL = &url
	return inner, true
}

func cutBase(path, base string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, base)
	return rest, ok && strings.HasPrefix(rest, "/")
}
