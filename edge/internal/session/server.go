package session

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/internal/quota"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// protocolV1 is the subprotocol of sessions. Clients need not offer any: browsers that carry
// a token in another one have to offer this one, too, as they accept no answer that
// selects none of what they offered.
const protocolV1 = "gotapi.v1"

// joinTimeout is how long a connection waits for its group's traffic.
const joinTimeout = 2 * time.Second

// Publisher takes packets on their way to a group; *relay.Client in production.
type Publisher interface {
	// Publish blocks for as long as hooks may take, and not at all without. It calls
	// p.End exactly once, within the publish timeout after that.
	Publish(batch ...*relay.Publication)
}

// History does for the caller whom the context names what that one may do. Its errors
// are gRPC statuses.
type History interface {
	GetHistory(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error)
	Cancel(context.Context, *historyv1.CancelRequest) (*historyv1.CancelResponse, error)
	Messages(context.Context, *relayv1.MessagesRequest) (*relayv1.MessagesResponse, error)
}

// Server holds the WebSocket sessions of this edge.
type Server struct {
	opts      Options
	admission *admission
	sessions  *registry
	flusher   *ws.Flusher
	rooms     *room.Registry
	publisher Publisher
	history   History
	log       *slog.Logger
	metrics   *metrics
	// Bounds the pages of history that are fetched at one time.
	queries *quota.Share
	// Ends what sessions wait for, when their time to end well is over.
	base   context.Context //nolint:containedctx // the lifetime of sessions, not of a call
	cancel context.CancelFunc
}

// New returns a Server. It accepts connections at once; keepalive needs Run.
func New(opts Options, rooms *room.Registry, p Publisher, h History, log *slog.Logger, reg prometheus.Registerer) *Server {
	opts = opts.withDefaults()
	m := newMetrics(reg)
	s := &Server{
		opts:      opts,
		admission: newAdmission(&opts, m),
		sessions:  newRegistry(),
		flusher:   ws.NewFlusher(reg),
		rooms:     rooms,
		publisher: p,
		history:   h,
		log:       log,
		metrics:   m,
		queries:   quota.NewShare(maxQueries),
	}
	s.base, s.cancel = context.WithCancel(context.Background())
	registerGauges(reg, s)
	return s
}

// Reconfigure uses Origin, MaxMessage, MaxConnections, UpgradeRate, Queue and LogEnds
// of opts for the connections that come from now on.
func (s *Server) Reconfigure(opts Options) {
	opts.Limits, opts.Budget = s.opts.Limits, s.opts.Budget
	opts = opts.withDefaults()
	s.admission.reloadable.Store(newReloadable(&opts))
}

// ServeHTTP upgrades a request for a group (or the lobby, or the clock) that the caller
// may join, and starts its session, or refuses it: 400, 403, 426, 429, or 503 when the
// server goes down, is full, or cannot get the group's traffic in time.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request, name group.Name, by *access.Identity) {
	after, err := afterOf(r.URL.RawQuery)
	if err != nil {
		httpjson.WriteError(w, http.StatusBadRequest, err.Error())
		return
	}
	p := s.admission.admit(w, r, by.Name())
	if p == nil {
		return
	}
	c := s.newSession(p, name, by, after)
	// The member comes first: what is published after the 101 is on its queue.
	if name != group.Lobby {
		if err := c.join(r.Context(), name); err != nil {
			s.admission.unavailable(w, refusedGroup, time.Second)
			p.release()
			return
		}
	}
	s.open(w, r, &c.connection, ws.Subprotocol{Name: protocolV1})
}

// open upgrades the request of a connection that was admitted, and starts it. If that
// fails, the request is answered.
func (s *Server) open(w http.ResponseWriter, r *http.Request, c *connection, p ws.Subprotocol) {
	c.address = s.opts.Limits.Address(r)
	conn, err := c.permit.upgrader.Upgrade(w, r, p, c.out)
	if err != nil {
		c.speaks.end()
		c.permit.release()
		s.log.DebugContext(r.Context(), "upgrade failed", "error", err)
		return
	}
	c.conn, c.began = conn, time.Now()
	s.metrics.opened.Inc()
	s.sessions.add(c)
	c.permit.limits.Open(c.giveWay)
	if s.admission.isClosed() { // Drain may have missed it
		c.goAway()
	}
	go c.run()
}

// forget counts a session out that has ended.
func (s *Server) forget(c *connection) {
	s.sessions.remove(c)
	c.permit.release()
}
