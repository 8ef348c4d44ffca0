package session

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/internal/quota"
	"github.com/gotapi/gotapi-ws/internal/refusals"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Options of a Server. A zero field means the default.
type Options struct {
	// Origin reports whether pages of this origin may connect; any by default.
	Origin func(origin string) bool
	// MaxMessage is the size of the largest message, bytes; 32 KiB.
	MaxMessage int
	// MaxConnections at one time; 0: no limit.
	MaxConnections int
	// UpgradeRate is how many connections may come in a second. More wait for up to
	// a second, then they are refused. 0: no limit.
	UpgradeRate float64
	// Groups are settings of single groups; nil: there are none.
	Groups *groupsettings.File
	// Limits of clients; nil: none.
	Limits *limit.Limits
	// Budget of the bytes that clients make the edge hold; nil: one for the memory that
	// the process may use.
	Budget *limit.Budget
	// Queue bounds what waits for one member; 4096 frames and 1 MiB. Bytes must
	// be at least 4 times MaxMessage.
	Queue ws.Limits
	// Window bounds the publishes of one member that are not settled; 128 packets and
	// 1 MiB.
	Window ws.Limits
	// MaxGroups is how many groups one connection of gotapi.v2 may join; 128.
	MaxGroups int
	// PublishWaits reports whether publishing to a group may block now, as for a hook; it
	// always may.
	PublishWaits func(group.Name) bool
	// Identify returns who has a credential. Its error is an *access.DeniedError. Without
	// it no credential can be replaced.
	Identify func(ctx context.Context, credential string) (*access.Identity, error)
	// SettleTime is how long a leaving session waits until its publishes are settled:
	// the publish timeout and a little more; 6 s.
	SettleTime time.Duration
	// LogEnds makes the end of each connection a line at level Info, not Debug. That
	// of a slow consumer is a warning in any case.
	LogEnds bool
	// Refused remembers what is refused; may be nil.
	Refused *refusals.Log
	// Tracer makes spans of publications; nil: none.
	Tracer trace.Tracer
}

var errNoRenewal = &access.DeniedError{Status: http.StatusForbidden, Msg: "credentials cannot be replaced here"}

func (o Options) withDefaults() Options {
	o.MaxMessage = cmp.Or(o.MaxMessage, 32<<10)
	o.Queue = cmp.Or(o.Queue, ws.Limits{Frames: 4096, Bytes: 1 << 20})
	o.Window = cmp.Or(o.Window, ws.Limits{Frames: 128, Bytes: 1 << 20})
	o.SettleTime = cmp.Or(o.SettleTime, 6*time.Second)
	o.MaxGroups = cmp.Or(o.MaxGroups, 128)
	if o.PublishWaits == nil {
		o.PublishWaits = func(group.Name) bool { return true }
	}
	if o.Identify == nil {
		o.Identify = func(context.Context, string) (*access.Identity, error) { return nil, errNoRenewal }
	}
	if o.Limits == nil {
		o.Limits = limit.New(limit.Settings{}, nil, prometheus.NewRegistry())
	}
	if o.Budget == nil {
		o.Budget = limit.NewBudget(quota.MemoryLimit(), prometheus.NewRegistry())
	}
	return o
}
