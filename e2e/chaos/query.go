package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

// askEvery is the mean time between two queries of a member for history.
const askEvery = 3 * time.Second

// Uuids of queries begin so.
const queryPrefix = "query-"

func isQuery(uuid string) bool { return strings.HasPrefix(uuid, queryPrefix) }

// queries are pages that were asked for over a connection, by the query's uuid.
type queries struct {
	mu    sync.Mutex
	pages map[string]*check.Page
}

func (q *queries) add(uuid string, p *check.Page) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pages == nil {
		q.pages = make(map[string]*check.Page)
	}
	q.pages[uuid] = p
}

func (q *queries) take(uuid string) *check.Page {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.pages[uuid]
	delete(q.pages, uuid)
	return p
}

// ask writes a query (protocol.md, 2.4): for the newest or the oldest messages, or
// those before or after some message.
func (m *member) ask(s *session) string {
	m.asked++
	uuid := fmt.Sprint(queryPrefix, m.name, "-", m.asked)
	p := &check.Page{Asked: m.room.now(), Size: 1 + m.rng.IntN(30)}
	args := fmt.Sprintf(`"pullargs":{"offset":0,"size":%d}`, p.Size)
	near := m.room.recent(m.rng.IntN(keepRecents), false)
	switch n := m.rng.IntN(4); {
	case n == 0:
		p.Position = -1 - m.rng.IntN(40)
		args = fmt.Sprintf(`"pullargs":{"offset":%d,"size":%d}`, p.Position, p.Size)
	case n == 1 && near != "":
		p.Before = near
		args = fmt.Sprintf(`"queryArgs":{"before":%q,"size":%d}`, near, p.Size)
	case n == 2 && near != "":
		p.After = near
		args = fmt.Sprintf(`"queryArgs":{"uuid":%q,"size":%d}`, near, p.Size)
	}
	s.queries.add(uuid, p)
	return fmt.Sprintf(`{"type":1,"command":2,"uuid":%q,%s}`, uuid, args)
}

// answer records the answer to a query: a page. A refusal proves nothing and is
// ignored.
func (s *session) answer(e check.Event, packet []byte) {
	p := s.queries.take(e.UUID)
	var page struct {
		Body struct{ Data struct{ Data []string } }
	}
	switch {
	case e.Kind == check.Refused:
		return
	case p == nil || json.Unmarshal(packet, &page) != nil:
		e.Kind, e.Text = check.Foreign, string(packet) // an answer without a query
		s.note(e)
		return
	}
	p.Texts = page.Body.Data.Data
	if p.After != "" {
		slices.Reverse(p.Texts) // the only ones that come oldest first
	}
	s.room.keepPage(p)
}
