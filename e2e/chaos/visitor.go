package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

// How long a visitor waits for an answer: longer than any publish timeout.
const httpTimeout = 8 * time.Second

// visitor uses a room over HTTP: it publishes, recalls, and reads the history.
type visitor struct {
	seat
	http *http.Client
	// Mean times between two of each.
	publishEvery, recallEvery, readEvery time.Duration
}

func newVisitor(s seat) *visitor {
	return &visitor{
		seat: s, publishEvery: 4 * s.pace, recallEvery: 8 * s.pace, readEvery: 5 * s.pace,
		http: &http.Client{Timeout: httpTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 2}},
	}
}

// run does one thing after another until ctx ends.
func (v *visitor) run(ctx context.Context) {
	defer v.http.CloseIdleConnections()
	begin := time.Now()
	publish, recall, read := begin, begin.Add(v.about(v.recallEvery)), begin.Add(v.about(v.readEvery))
	for ctx.Err() == nil {
		switch now := time.Now(); {
		case now.After(publish):
			v.publish(ctx)
			publish = now.Add(v.about(v.publishEvery))
		case now.After(recall):
			if uuid := v.room.recent(v.rng.IntN(keepRecents), true); uuid != "" {
				v.recall(ctx, uuid)
			}
			recall = now.Add(v.about(v.recallEvery))
		case now.After(read):
			v.read(ctx)
			read = now.Add(v.about(v.readEvery))
		default:
			sleep(ctx, tickEvery)
		}
	}
}

func (v *visitor) edge() string { return v.edges[v.rng.IntN(len(v.edges))] }

// post returns the status, 0 if there is none. It is not ended by the end of the
// workload: what was begun gets its answer.
func (v *visitor) post(target, contentType, body string) (code int, answer []byte) {
	resp, err := v.http.Post("http://"+v.edge()+target, contentType, strings.NewReader(body)) //nolint:noctx // the client has a timeout
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, answer
}

// publish sends a new message until it is stored, or gives up.
func (v *visitor) publish(ctx context.Context) {
	m := v.room.compose(v.name)
	for ctx.Err() == nil {
		code := v.attempt(m)
		if code == http.StatusOK {
			v.room.acked(m.UUID)
			return
		}
		if v.rng.IntN(3) == 0 {
			return
		}
		sleep(ctx, time.Duration(50+v.rng.IntN(250))*time.Millisecond)
	}
}

func (v *visitor) attempt(m *check.Message) int {
	n := v.room.sends(m, nil)
	code, _ := v.post(v.room.name, "application/json", m.Text)
	v.room.answered(m, n, code)
	return code
}

// recall recalls a message until that is certain.
func (v *visitor) recall(ctx context.Context, uuid string) {
	r := &check.Recall{UUID: uuid, Asked: v.room.now()}
	v.room.mu.Lock()
	v.room.record.Recalls[uuid] = r
	v.room.mu.Unlock()
	form := url.Values{"groupName": {v.room.name}, "uuid": {uuid}}.Encode()
	for {
		code, _ := v.post("/__/cancel", "application/x-www-form-urlencoded", form)
		if code == http.StatusOK || code == http.StatusNotFound {
			v.room.mu.Lock()
			defer v.room.mu.Unlock()
			if code == http.StatusOK {
				r.Done = v.room.now()
			} else {
				r.NotFound = true
			}
			return
		}
		if ctx.Err() != nil {
			return
		}
		sleep(ctx, 200*time.Millisecond)
	}
}

// read asks for a page: the newest, the oldest, or those before some message.
func (v *visitor) read(context.Context) {
	p := &check.Page{Asked: v.room.now(), Size: 1 + v.rng.IntN(30)}
	form := url.Values{"groupName": {v.room.name}, "size": {number(p.Size)}}
	switch v.rng.IntN(4) {
	case 0:
		p.Position = -1 - v.rng.IntN(40)
		form.Set("position", number(p.Position))
	case 1:
		if p.Before = v.room.recent(v.rng.IntN(keepRecents), false); p.Before != "" {
			form.Set("before", p.Before)
		}
	default:
	}
	code, body := v.post("/__/history", "application/x-www-form-urlencoded", form.Encode())
	var answer struct{ Data []string }
	if code != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		return
	}
	p.Texts = answer.Data
	v.room.keepPage(p)
}
