package session_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
)

// raw sends bytes as they are.
func (c *client) raw(b []byte) {
	c.e.Helper()
	if _, err := c.NetConn().Write(b); err != nil {
		c.e.Fatal(err)
	}
}

// frame is a frame with a mask that changes nothing.
func frame(first byte, payload int) []byte {
	b := []byte{first, 0x80 | byte(payload)}
	if payload > 125 {
		b = []byte{first, 0x80 | 126, byte(payload >> 8), byte(payload)}
	}
	return append(b, make([]byte, 4+payload)...)
}

// A message that was begun held its memory for as long as its sender liked.
func TestMessageThatIsNotCompletedEndsTheConnection(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		c := e.dial(chat)
		c.raw(frame(0x01, 20_000))
		time.Sleep(time.Minute)
		c.wantClosed(1008)
	})
}

func TestMessagesThatAreNotCompleteHaveABudget(t *testing.T) {
	budget := limit.NewBudget(16*4*64<<10, prometheus.NewRegistry()) // one for each address
	inBubble(t, session.Options{Budget: budget}, func(e *edge) {
		first := e.dial(chat)
		first.raw(frame(0x01, 20_000))
		synctest.Wait()
		if n := budget.Inputs.Used(); n != 64<<10 {
			t.Errorf("%d bytes are held, want %d", n, 64<<10)
		}
		first.raw(frame(0x80, 1))
		synctest.Wait()
		if n := budget.Inputs.Used(); n != 0 {
			t.Errorf("%d bytes are held after the message, want none", n)
		}
	})
}

// The budget was asked for messages of the size that was allowed at the start.
func TestBudgetKnowsTheLargestMessageOfNow(t *testing.T) {
	budget := limit.NewBudget(1<<30, prometheus.NewRegistry())
	inBubble(t, session.Options{Budget: budget}, func(e *edge) {
		e.server.Reconfigure(session.Options{MaxMessage: 128 << 10})
		e.dial(chat).raw(frame(0x01, 20_000))
		synctest.Wait()
		if n := budget.Inputs.Used(); n != 256<<10 {
			t.Errorf("%d bytes are held, want %d", n, 256<<10)
		}
	})
}

func TestFramesThatAreNoMessagesAreLimited(t *testing.T) {
	for name, flood := range map[string][]byte{"pings": frame(0x89, 0), "pongs": frame(0x8a, 0), "empty fragments": frame(0x00, 0)} {
		limits := limit.New(limit.Settings{ConnectionMessages: 10}, nil, prometheus.NewRegistry())
		inBubble(t, session.Options{Limits: limits}, func(e *edge) {
			c := e.dial(chat)
			if name == "empty fragments" {
				c.raw(frame(0x01, 0))
			}
			for range 200 {
				if _, err := c.NetConn().Write(flood); err != nil {
					break
				}
			}
			c.wantClosed(websocket.ClosePolicyViolation)
		})
	}
}
