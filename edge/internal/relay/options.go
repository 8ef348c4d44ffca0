package relay

import (
	"time"

	"github.com/gotapi/gotapi-ws/services/alarm"
)

// Limits of the protocol (proto/gotapi/relay/v1/relay.proto).
const (
	// Frames of publishes on the way.
	maxFramesOnTheWay = 2
	// Publishes in a frame.
	maxFrameItems = 128
	// Packets in a frame, bytes; a larger packet travels alone. Interests and
	// member counts have the same bound.
	maxFrameBytes = 256 << 10
)

// Options of a Client. A zero field means the default.
type Options struct {
	// How long a result is worth having; 5 s.
	PublishTimeout time.Duration
	// Bounds of what waits for a result: 65,536 publications, 64 MiB. One
	// group may have a quarter of it. Beyond that: Busy.
	MaxItems, MaxBytes int
	// How long Read may take; 5 s.
	ReadTimeout time.Duration
	// How long Run waits for results when its context has ended; 1 s.
	LastMoment time.Duration
	// How often member counts are reported; 2 s.
	ReportEvery time.Duration
	// Of this program, and where it listens; sent to history services.
	Version, Commit, Host string
	// Alarms returns what is wrong with this process. It is called with each report of
	// member counts; nil: it is not known.
	Alarms func() []alarm.Alarm
	// Called for each publication that is accepted, before its sender has the
	// result; nil: nothing is. It must not block.
	Accepted func(*Publication, Result)
}

func (o Options) withDefaults() Options {
	setDefault(&o.PublishTimeout, 5*time.Second)
	setDefault(&o.MaxItems, 65_536)
	setDefault(&o.MaxBytes, 64<<20)
	setDefault(&o.ReadTimeout, 5*time.Second)
	setDefault(&o.LastMoment, time.Second)
	setDefault(&o.ReportEvery, 2*time.Second)
	return o
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
