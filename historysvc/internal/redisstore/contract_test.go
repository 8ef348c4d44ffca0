package redisstore

import (
	"testing"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/wire/group"
)

func TestContract(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			historytest.Run(t, func(t *testing.T) historytest.Opener {
				t.Helper()
				url := b.URL(t)
				return func(t *testing.T, o historytest.Options, l history.Listener) historytest.Store {
					t.Helper()
					return open(t, Options{Connection: Connection{URL: url, Embedded: b.Embedded}, History: historyOf(o)}, l)
				}
			})
		})
	}
}

// historyOf are the options of a store under test.
func historyOf(o historytest.Options) History {
	h := History{Cap: o.Cap}
	if o.Of != nil {
		h.Of = func(g group.Name, one *GroupOptions) {
			s := o.Of(g)
			one.Transient, one.Nameless = s.Transient, s.Nameless
			if s.Cap > 0 {
				one.Cap, one.CapExplicit = s.Cap, true
			}
			if s.Retention > 0 {
				one.Retention, one.RetentionExplicit = s.Retention, true
			}
		}
	}
	return h
}
