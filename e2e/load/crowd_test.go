package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
)

// acker is an edge that acks all packets, and remembers its members.
func acker(t *testing.T) (addr string, members func() map[string]int) {
	t.Helper()
	var mu sync.Mutex
	seen := make(map[string]int)
	var upgrader websocket.Upgrader
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.URL.Path]++ // first: the member goes on when it has the answer
		mu.Unlock()
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		for {
			_, b, err := c.ReadMessage()
			if err != nil {
				return
			}
			ack := fmt.Sprintf(`{"type":1,"command":1,"uuid":%q}`, uuidOf(b))
			if c.WriteMessage(websocket.TextMessage, []byte(ack)) != nil {
				return
			}
		}
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://"), func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(seen)
	}
}

func TestAPartOfACrowdOpensPublishesAndCounts(t *testing.T) {
	for _, unacked := range []int{0, 2} {
		t.Run(fmt.Sprint(unacked, " unacked"), func(t *testing.T) {
			addr, members := acker(t)
			text, err := json.Marshal(crowdPart{Addr: addr, Prefix: "/part", Groups: 3, Size: 2, Unacked: unacked})
			if err != nil {
				t.Fatal(err)
			}
			lines, ask := io.Pipe()
			answers, out := io.Pipe()
			ended := make(chan error, 1)
			go func() { ended <- serveCrowd(context.Background(), string(text), lines, out) }()
			answer := bufio.NewReader(answers)
			if line, err := answer.ReadString('\n'); line != "open\n" {
				t.Fatalf("%q, %v", line, err)
			}
			if got := members(); got["/part/0"] != 2 || got["/part/1"] != 2 || got["/part/2"] != 2 {
				t.Errorf("members: %v", got)
			}
			fmt.Fprintln(ask) // begin
			for n := 0; ; {
				fmt.Fprintln(ask)
				if _, err := fmt.Fscanln(answer, &n); err != nil {
					t.Fatal(err)
				}
				if unacked == 0 && n != 0 {
					t.Fatalf("%d acks, want none: it has no publishers", n)
				}
				if unacked == 0 || n >= 100 { // else the test's deadline ends this
					break
				}
			}
			_ = ask.Close()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
