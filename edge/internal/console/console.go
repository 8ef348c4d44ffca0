// Package console is what a browser sees of the edge: a chat page for every
// group, a landing page, the reference of the HTTP interface, and live figures
// (docs/protocol.md, section 6).
//
// The pages are static and the same for every group: their scripts find out
// where they are and use the public interface like any other client, through
// the npm package gotapi-ws. Their sources are in clients/console; `make web`
// builds them into assets/, which is committed so that the server needs no Node.
//
// No page allows anything but its own scripts and styles from this server, and
// scripts cannot turn text into HTML (Trusted Types).
package console

import (
	"net/http"

	"github.com/gotapi/gotapi-ws/proto"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Console serves the pages and what they consist of.
type Console struct {
	home, room document
	endpoints  map[string]http.HandlerFunc
}

// New returns a Console. It asks for figures at most once a second, from one
// goroutine at a time. The only error is a fault of the embedded files.
func New(figures func() Figures) (*Console, error) {
	files, err := readAssets()
	if err != nil {
		return nil, err
	}
	c := &Console{endpoints: make(map[string]http.HandlerFunc)}
	pages := map[string]document{}
	for name, body := range files {
		d := newDocument(name, body)
		if d.page {
			pages[name] = d
			continue
		}
		c.endpoints[assetsPath+name] = d.serve
	}
	c.home, c.room = pages["home.html"], pages["room.html"]
	c.endpoints["/__/docs"] = pages["docs.html"].serve
	c.endpoints["/__/openapi.json"] = newDocument("openapi.json", proto.OpenAPI).serve
	c.endpoints["/__/stats"] = newStats(figures).serve
	return c, nil
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
