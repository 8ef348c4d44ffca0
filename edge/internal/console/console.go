// Package console serves the edge's pages to browsers: a chat page for every
// group, a landing page, the reference of the HTTP interface, and live figures
// (docs/protocol.md, section 6).
//
// The pages are static and the same for every group: their scripts find out
// where they are and use the public interface like any other client, through
// the npm package gotapi-ws. Their sources are in clients/console; `make web`
// builds them into assets/, which is committed so that the server needs no Node. The
// client itself is served, too, for pages of any origin.
//
// No page allows anything but its own scripts and styles from this server, and
// scripts cannot turn text into HTML (Trusted Types).
package console

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/gotapi/gotapi-ws/proto"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Console serves the pages and what they consist of.
type Console struct {
	home, room document
	endpoints  map[string]http.HandlerFunc
}

// New returns a Console of a server whose paths are under base, such as "/chat". It asks
// for figures at most once a second, from one goroutine at a time. The only error is a
// fault of the embedded files.
func New(base string, figures func() Figures) (*Console, error) {
	files, err := readAssets()
	if err != nil {
		return nil, err
	}
	c := &Console{endpoints: make(map[string]http.HandlerFunc)}
	pages := map[string]document{}
	for name, body := range files {
		d := newDocument(name, body)
		extension, isClient := strings.CutPrefix(name, "client")
		switch {
		case d.page:
			pages[name] = d
		case isClient:
			d.shared = true
			c.endpoints[clientPath+extension] = d.serve
		default:
			c.endpoints[assetsPath+name] = d.serve
		}
	}
	c.home, c.room = pages["home.html"], pages["room.html"]
	c.endpoints["/__/docs"] = pages["docs.html"].serve
	c.endpoints["/__/openapi.json"] = newDocument("openapi.json", openAPI(base)).serve
	c.endpoints["/__/asyncapi.json"] = newDocument("asyncapi.json", asyncAPI(base)).serve
	c.endpoints["/__/stats"] = newStats(figures).serve
	return c, nil
}

// openAPI is the document of a server at base.
func openAPI(base string) []byte {
	return bytes.Replace(proto.OpenAPI, []byte(`"url": "/"`), []byte(`"url": "`+base+`/"`), 1)
}

// asyncAPI is the document of a server at base.
func asyncAPI(base string) []byte {
	return bytes.ReplaceAll(proto.AsyncAPI, []byte(`"pathname": "/"`), []byte(`"pathname": "`+base+`/"`))
}

// Endpoints are what serves GET and HEAD of the paths under /__/ that belong to
// the console.
func (c *Console) Endpoints() map[string]http.HandlerFunc { return c.endpoints }

// ServePage answers a browser's GET or HEAD of a group's path: with the chat, or
// in the lobby with the landing page.
func (c *Console) ServePage(w http.ResponseWriter, r *http.Request, g group.Name) {
	if g == group.Lobby {
		c.home.serve(w, r)
		return
	}
	c.room.serve(w, r)
}
