// Package refusals remembers the latest refusals of a process and their reasons, so that an
// operator can answer for them. It is bounded: a flood of one kind is one entry.
package refusals

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// most is how many entries are kept; of a text, maxText bytes are.
const (
	most    = 1000
	maxText = 256
)

// Refusal is something that was refused. Two that differ in nothing are of one kind.
type Refusal struct {
	// What was refused: "http GET", "websocket", "packet".
	What string `json:"what"`
	// Code is the HTTP status, or that of command 7.
	Code    int    `json:"code"`
	Reason  string `json:"reason"`
	Group   string `json:"group,omitempty"`
	User    string `json:"user,omitempty"`
	Address string `json:"address,omitempty"`
}

// Entry is a kind of refusals.
type Entry struct {
	Refusal
	// Count is how many there were since First.
	Count uint64    `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// Log has the last kinds of refusals. A nil *Log remembers nothing. It is safe for
// concurrent use.
type Log struct {
	mu    sync.Mutex
	kinds map[Refusal]*Entry
}

// New returns an empty Log.
func New() *Log { return &Log{kinds: make(map[Refusal]*Entry)} }

// Add notes a refusal. If the Log is full, the quarter that is longest ago is forgotten.
func (l *Log) Add(r Refusal) {
	if l == nil {
		return
	}
	r.What, r.Reason, r.Group, r.User = clip(r.What), clip(r.Reason), clip(r.Group), clip(r.User)
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.kinds[r]
	if e == nil {
		if len(l.kinds) >= most {
			l.forget()
		}
		e = &Entry{Refusal: r, First: now}
		l.kinds[r] = e
	}
	e.Count++
	e.Last = now
}

// clip copies a bounded part of a text of a client.
func clip(s string) string { return strings.ToValidUTF8(strings.Clone(s[:min(len(s), maxText)]), "") }

// forget forgets a quarter. l.mu is held. It sorts once in a quarter of most new kinds.
func (l *Log) forget() {
	for _, e := range l.newest()[most-most/4:] {
		delete(l.kinds, e.Refusal)
	}
}

// newest are all entries, the newest first. l.mu is held.
func (l *Log) newest() []Entry {
	all := make([]Entry, 0, len(l.kinds))
	for _, e := range l.kinds {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(b.Count, a.Count)) })
	return all
}

// Entries returns what is remembered, the newest first.
func (l *Log) Entries() []Entry {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest()
}

// ServeHTTP answers {"refusals":[...]}, the newest first.
func (l *Log) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	entries := l.Entries()
	if entries == nil {
		entries = []Entry{}
	}
	//nolint:errchkjson // the times are ours; the client may have gone
	_ = json.NewEncoder(w).Encode(struct {
		Refusals []Entry `json:"refusals"`
	}{entries})
}
