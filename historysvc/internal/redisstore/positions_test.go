package redisstore

import (
	"fmt"
	"testing"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
)

func TestAReaderOfAnAdoptedListResumesFromThePositionOfAnyEvent(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			url := b.URL(t)
			opener := func(t *testing.T, o historytest.Options, l history.Listener) historytest.Store {
				t.Helper()
				return open(t, Options{Connection: Connection{URL: url, Embedded: b.Embedded}, History: History{Cap: o.Cap}}, l)
			}
			s := open(t, Options{Connection: Connection{URL: url, Embedded: b.Embedded}}, nil)
			for seed := range uint64(4) {
				g := room(t)
				const old = 6
				for i := range old {
					push(t, s, g, dataPacket(fmt.Sprint("m", i)))
				}
				historytest.ResumeAtRandom(t, opener, g, old, seed)
			}
		})
	}
}
