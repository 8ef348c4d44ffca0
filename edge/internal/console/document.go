package console

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"
)

//go:embed assets
var assets embed.FS

const (
	// assetsPath is where browsers find what the pages consist of.
	assetsPath = "/__/assets/"
	// clientPath and an extension is where pages of any origin find the browser client.
	clientPath = "/__/client"
)

// contentTypes of the files, by extension. Not mime.TypeByExtension: that
// depends on the machine.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json",
	".mjs":  "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// readAssets returns the embedded files by name. The pages that the Console
// needs are among them.
func readAssets() (map[string][]byte, error) {
	files := make(map[string][]byte)
	entries, err := assets.ReadDir("assets")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		body, err := assets.ReadFile("assets/" + e.Name())
		if err != nil {
			return nil, err
		}
		if contentTypes[path.Ext(e.Name())] == "" {
			return nil, fmt.Errorf("asset %s: its content type is not known", e.Name())
		}
		files[e.Name()] = body
	}
	for _, name := range []string{"home.html", "room.html", "docs.html"} {
		if files[name] == nil {
			return nil, fmt.Errorf("asset %s: %w", name, fs.ErrNotExist)
		}
	}
	return files, nil
}

// document is a file as it is served.
type document struct {
	body        []byte
	contentType string
	// Names this version of the body, in quotes as the header ETag wants it.
	etag string
	// An HTML page, which says what its scripts may do.
	page bool
	// Pages of any origin may load it. They need not ask for it each time.
	shared bool
}

func newDocument(name string, body []byte) document {
	sum := sha256.Sum256(body)
	return document{
		body:        body,
		contentType: contentTypes[path.Ext(name)],
		etag:        `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		page:        path.Ext(name) == ".html",
	}
}

// serve answers GET and HEAD, with 304 when the browser has this version.
// Browsers ask each time: behind one address there may be edges of two versions
// during an update, and names with versions in them would be missing on one.
func (d document) serve(w http.ResponseWriter, r *http.Request) {
	if d.page {
		d.from(r.URL.EscapedPath()).write(w, r)
		return
	}
	d.write(w, r)
}

func (d document) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", d.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("Etag", d.etag)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if d.shared {
		h.Set("Cache-Control", "public, max-age=600")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Set("Access-Control-Allow-Origin", "*")
	}
	if d.page {
		h.Set("Content-Security-Policy", contentSecurityPolicy(r.Host))
		// Over plain HTTP browsers ignore this header, and complain about it. They
		// send Sec-Fetch-Dest only where they heed it.
		if r.Header.Get("Sec-Fetch-Dest") != "" {
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
		}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.body))
}

// rootReference begins a reference to another path of the server in a page's source. The
// value of an input is none: it may be the name of a group.
var rootReference = regexp.MustCompile(`\b(href|src)="/`)

// from returns the page as one at that path: references lead from there to the server's
// other paths, wherever a proxy has put the server as a whole.
func (d document) from(path string) document {
	up := strings.Repeat("../", max(0, strings.Count(path, "/")-1))
	d.body = rootReference.ReplaceAll(d.body, []byte(`$1="`+cmp.Or(up, "./")))
	d.etag = fmt.Sprintf(`%s-%d"`, strings.TrimSuffix(d.etag, `"`), len(up))
	return d
}

// plainHost is a host, with or without port, that has no sign with a meaning in
// a policy: the Host of a request is what the client says.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9.:\[\]_-]+$`)

// contentSecurityPolicy of a page on that host. Sockets are named, since not
// every browser counts them to 'self'; whether it is ws or wss may be up to a
// proxy.
func contentSecurityPolicy(host string) string {
	sockets := ""
	if plainHost.MatchString(host) {
		sockets = " ws://" + host + " wss://" + host
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'" + sockets +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; require-trusted-types-for 'script'; trusted-types 'none'"
}
