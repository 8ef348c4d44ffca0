package redisstore

import (
	"testing"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
)

func TestContract(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		historytest.Run(t, func(t *testing.T) historytest.Opener {
			url := b.url(t)
			return func(t *testing.T, o historytest.Options, l history.Listener) historytest.Store {
				return open(t, Options{URL: url, Embedded: b.embedded, Cap: o.Cap}, l)
			}
		})
	})
}
