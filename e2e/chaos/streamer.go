package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

// streamer follows groups without WebSockets, from its last positions: several by event
// streams, or one by event streams and long polls in turn.
type streamer struct {
	seat
	groups []*follower
	http   *http.Client
}

const (
	// The mean life of an event stream, and of a series of long polls.
	readsFor = 6 * time.Second
	// How long a long poll waits, seconds.
	pollWait = 2
)

func newStreamer(s seat, rooms ...*room) *streamer {
	c := &streamer{seat: s, http: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 1, ResponseHeaderTimeout: httpTimeout,
	}}}
	for _, r := range rooms {
		c.groups = append(c.groups, &follower{room: r, name: s.name})
	}
	return c
}

func (c *streamer) goals() []roomGoal {
	var all []roomGoal
	for _, g := range c.groups {
		all = append(all, roomGoal{g.room, &g.goal})
	}
	return all
}

// run lives until ctx ends.
func (c *streamer) run(ctx context.Context) {
	defer c.http.CloseIdleConnections()
	for edge := c.rng.IntN(len(c.edges)); ctx.Err() == nil; edge = (edge + 1) % len(c.edges) {
		c.follow(ctx, c.edges[edge])
		for _, g := range c.groups {
			g.ended(g.room.now())
			if !c.ending() && c.rng.IntN(10) == 0 {
				g.forgets()
			}
		}
		sleep(ctx, time.Duration(20+c.rng.IntN(200))*time.Millisecond)
	}
}

// follow reads until something ends it, or for a while. Several groups are read to the end;
// of one, what counts no member is: long polls.
func (c *streamer) follow(ctx context.Context, edge string) {
	life := min(c.about(readsFor), 2*readsFor)
	several := len(c.groups) > 1
	if several || !c.ending() && c.rng.IntN(2) == 0 {
		c.stream(ctx, edge, life, several)
		return
	}
	c.poll(ctx, edge, life)
}

// stream reads an event stream. It ends with its life, unless that is the end of all: streams
// of several groups stay then, and others do not.
func (c *streamer) stream(ctx context.Context, edge string, life time.Duration, several bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end := time.AfterFunc(life, func() {
		if !several || !c.ending() {
			cancel()
		}
	})
	defer end.Stop()
	var joins []*wire
	for _, g := range c.groups {
		joins = append(joins, g.dials(check.EventStream, edge))
	}
	req, err := c.request(ctx, edge, several)
	if err != nil {
		return
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return
	}
	_ = readEvents(resp.Body, func(data string) bool {
		at := c.room.now()
		var m message
		if json.Unmarshal([]byte(data), &m) != nil {
			c.groups[0].foreign(arrival{at, data})
			return false
		}
		return c.hears(&m, joins, arrival{at, data})
	})
}

// request asks for a stream: of one group with the position in the query or, as EventSource
// does, in a header.
func (c *streamer) request(ctx context.Context, edge string, several bool) (*http.Request, error) {
	if several {
		var body strings.Builder
		for id, g := range c.groups {
			from := ""
			if g.pos != "" {
				from = fmt.Sprintf(`,"from":%q`, g.pos)
			}
			fmt.Fprintf(&body, "{\"do\":\"join\",\"id\":%d,\"group\":%q%s}\n", id, g.room.name, from)
		}
		return http.NewRequestWithContext(ctx, http.MethodPost, "http://"+edge+"/__/events", strings.NewReader(body.String()))
	}
	g := c.groups[0]
	target, header := "http://"+edge+g.room.name, ""
	switch {
	case g.pos == "":
	case c.rng.IntN(2) == 0:
		target += "?from=" + g.pos
	default:
		header = g.pos
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if header != "" {
		req.Header.Set("Last-Event-ID", header)
	}
	return req, nil
}

// hears takes an event of a stream. It returns false if the stream is to end.
func (c *streamer) hears(m *message, joins []*wire, one arrival) bool {
	switch {
	case m.Re != nil && *m.Re < len(c.groups):
		g := c.groups[*m.Re]
		if m.Code != http.StatusOK {
			return false // it joins all again
		}
		g.joined(joins[*m.Re], m.Pos, m.Gap, one.at)
		return true
	case m.On == "error" || m.On == "left":
		return false
	}
	for _, g := range c.groups {
		if g.room.name == m.Group && g.wire != nil {
			g.hears(m, one.at)
			return true
		}
	}
	c.groups[0].foreign(one)
	return false
}

// poll asks again and again.
func (c *streamer) poll(ctx context.Context, edge string, life time.Duration) {
	g := c.groups[0]
	w := g.dials(check.LongPoll, edge)
	for until := time.Now().Add(life); ctx.Err() == nil && (c.ending() || time.Now().Before(until)); {
		body, ok := c.pollOnce(ctx, edge, g)
		if !ok {
			return
		}
		at := c.room.now()
		var answer struct {
			Pos    string
			Gap    bool
			Events []message
		}
		if json.Unmarshal(body, &answer) != nil {
			g.foreign(arrival{at, string(body)})
			return
		}
		if g.wire == nil {
			g.joined(w, answer.Pos, answer.Gap, at)
		} else if answer.Gap {
			g.hears(&message{On: "gap"}, at)
		}
		for i := range answer.Events {
			g.hears(&answer.Events[i], at)
		}
		g.pos = answer.Pos
	}
}

func (c *streamer) pollOnce(ctx context.Context, edge string, g *follower) (body []byte, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	q := url.Values{"groupName": {g.room.name}, "wait": {number(pollWait)}}
	if g.pos != "" {
		q.Set("from", g.pos)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+edge+"/__/events?"+q.Encode(), nil)
	if err != nil {
		return nil, false
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, false
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	return body, err == nil && resp.StatusCode == http.StatusOK
}

// readEvents calls take with the data of each server-sent event until it returns false, or
// the stream ends. An event that is cut is none.
func readEvents(from io.Reader, take func(data string) bool) error {
	lines := bufio.NewReader(from)
	for data := ""; ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			data = strings.TrimSuffix(text, "\n")
		}
		if line == "\n" && data != "" {
			if !take(data) {
				return nil
			}
			data = ""
		}
	}
}
