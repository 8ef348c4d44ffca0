package redisstore

import (
	"testing"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
)

func TestContract(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			historytest.Run(t, func(t *testing.T) historytest.Opener {
				t.Helper()
				url := b.URL(t)
				return func(t *testing.T, o historytest.Options, l history.Listener) historytest.Store {
					t.Helper()
					return open(t, Options{Connection: Connection{URL: url, Embedded: b.Embedded}, History: History{Cap: o.Cap}}, l)
				}
			})
		})
	}
}
