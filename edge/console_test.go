package edge_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/gorilla/websocket"
)

func (f *runningEdge) get(path string) string {
	f.t.Helper()
	_, body := f.getCode(path)
	return body
}

// getCode returns the status as well.
func (f *runningEdge) getCode(path string) (code int, body string) {
	f.t.Helper()
	r, err := http.Get("http://" + f.addr + path)
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestFiguresOfTheConsole(t *testing.T) {
	t.Parallel()
	f, _ := startBoth(t)
	a, b := f.join("/room/1"), f.join("/room/1")
	f.join("/room/2")
	a.send(websocket.TextMessage, data)
	a.want(websocket.TextMessage, ack)
	b.want(websocket.TextMessage, data)
	f.wantPost("/room/2", "low", 200, `{"code":200,"group":"/room/2","stored":false}`)

	// Members get the packet before it is counted, and figures are kept for a second.
	const want = `{"code":200,"members":3,"groups":2,"received":2,"delivered":2}`
	eventually(t, "the figures are "+want, func() bool { return f.get("/__/stats") == want })
}
