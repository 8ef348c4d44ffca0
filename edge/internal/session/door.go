package session

import (
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
)

// door is what decides about connections that come, and what they get. It may
// change at any time; the connections that are there keep theirs.
type door struct {
	upgrader *ws.Upgrader
	gate     *limit.Gate
	// 0: no limit.
	maxConnections int
	queue          ws.Limits
	// Whether the end of each connection is worth a line at level Info.
	logEnds bool
}

func newDoor(opts *Options) *door {
	return &door{
		upgrader: ws.NewUpgrader(ws.Options{
			Origin: opts.Origin, MaxMessage: opts.MaxMessage, WriteError: opts.WriteError,
		}),
		gate:           limit.NewGate(opts.UpgradeRate),
		maxConnections: opts.MaxConnections,
		queue:          opts.Queue,
		logEnds:        opts.LogEnds,
	}
}

// Reconfigure uses Origin, MaxMessage, MaxConnections, UpgradeRate, Queue and LogEnds
// of opts for the connections that come from now on.
func (s *Server) Reconfigure(opts Options) {
	opts.WriteError = s.opts.WriteError
	opts = opts.withDefaults()
	s.door.Store(newDoor(&opts))
}
