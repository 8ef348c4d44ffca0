package session

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// joinTimeout is how long a connection waits for its group's traffic.
const joinTimeout = 2 * time.Second

// Publisher takes packets on their way to a group; *relay.Client in production.
type Publisher interface {
	// Publish blocks for as long as hooks may take, and not at all without. It calls
	// p.Done exactly once, within the publish timeout after that.
	Publish(p *relay.Publication)
}

// History answers queries of the caller whom the context names, if they may be
// answered. Its errors are gRPC statuses.
type History interface {
	GetHistory(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error)
}

// Options of a Server. A zero field means the default.
type Options struct {
	// Origin says whether pages of this origin may connect; any by default.
	Origin func(origin string) bool
	// MaxMessage is the size of the largest message, bytes; 32 KiB.
	MaxMessage int
	// MaxConnections at one time; 0: no limit.
	MaxConnections int
	// UpgradeRate is how many connections may come in a second; those that come
	// faster wait for up to a second, then they are refused. 0: no limit.
	UpgradeRate float64
	// Limits of clients; nil: none.
	Limits *limit.Limits
	// Queue bounds what waits for one member; 4096 frames and 1 MiB. Bytes must
	// be at least 4 times MaxMessage.
	Queue ws.Limits
	// Window bounds what one member has published and is not answered;
	// 128 packets and 1 MiB.
	Window ws.Limits
	// SettleTime is how long a leaving session waits for its answers: the
	// publish timeout and a little more; 6 s.
	SettleTime time.Duration
	// LogEnds makes the end of each connection a line at level Info, not Debug. That
	// of a slow consumer is a warning in any case.
	LogEnds bool
	// Tracer makes spans of publications; nil: none.
	Tracer trace.Tracer
	// WriteError answers a request that is refused, as the rest of the edge does.
	WriteError func(w http.ResponseWriter, status int, msg string)
}

func (o Options) withDefaults() Options {
	setDefault(&o.MaxMessage, 32<<10)
	setDefault(&o.Queue, ws.Limits{Frames: 4096, Bytes: 1 << 20})
	setDefault(&o.Window, ws.Limits{Frames: 128, Bytes: 1 << 20})
	setDefault(&o.SettleTime, 6*time.Second)
	if o.WriteError == nil {
		o.WriteError = func(w http.ResponseWriter, status int, msg string) { http.Error(w, msg, status) }
	}
	return o
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Server holds the WebSocket sessions of this edge.
type Server struct {
	opts      Options
	door      atomic.Pointer[door]
	flusher   *ws.Flusher
	rooms     *room.Registry
	publisher Publisher
	history   History
	log       *slog.Logger
	metrics   *metrics
	// Bounds the pages of history that are fetched at one time, and the bytes of
	// those that wait to be sent.
	queries   chan struct{}
	pageBytes *semaphore.Weighted
	// Ends what sessions wait for, when their time to end well is over.
	base   context.Context //nolint:containedctx // the lifetime of sessions, not of a call
	cancel context.CancelFunc
	// Counts sessions, and requests that may become one.
	running sync.WaitGroup

	mu       sync.Mutex
	draining bool
	admitted int
	lastID   uint32
	buckets  [pingEvery]map[uint32]*session
}

// New returns a Server. It accepts connections at once; keepalive needs Run.
func New(opts Options, rooms *room.Registry, p Publisher, h History, log *slog.Logger, reg prometheus.Registerer) *Server {
	opts = opts.withDefaults()
	if opts.Limits == nil {
		opts.Limits = limit.New(limit.Settings{}, prometheus.NewRegistry())
	}
	s := &Server{
		opts:      opts,
		flusher:   ws.NewFlusher(reg),
		rooms:     rooms,
		publisher: p,
		history:   h,
		log:       log,
		queries:   make(chan struct{}, maxQueries),
		pageBytes: semaphore.NewWeighted(maxPageBytes),
	}
	s.door.Store(newDoor(&opts))
	s.base, s.cancel = context.WithCancel(context.Background())
	for i := range s.buckets {
		s.buckets[i] = make(map[uint32]*session)
	}
	s.metrics = newMetrics(reg, s)
	return s
}

// ServeHTTP upgrades a request for the group (or the lobby, or the clock), of a
// caller who may join it, and
// starts its session, or refuses it: 400, 403, 426, or 503 when the server goes
// down, is full, or cannot get the group's traffic in time.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request, name group.Name, by *access.Identity) {
	after, err := resumePoint(r.URL.RawQuery)
	if err != nil {
		s.opts.WriteError(w, http.StatusBadRequest, err.Error())
		return
	}
	if !s.door.Load().upgrader.Check(w, r) {
		return
	}
	if !s.pass(w, r) {
		return
	}
	guest := s.opts.Limits.Enter(r, by.Name())
	if guest == nil {
		w.Header().Set("Retry-After", retryConnections)
		s.opts.WriteError(w, http.StatusTooManyRequests, "this client has too many connections")
		return
	}
	id, refusal := s.admit()
	if refusal != refusedNot {
		guest.Leave()
		s.unavailable(w, refusal, time.Second)
		return
	}
	c := s.newSession(id, name, by, after)
	c.guest = guest
	if !s.start(w, r, c) {
		s.release(c)
	}
}

// resumePoint is the uuid in a query ?after=, after which a member begins; "": now.
// One that is doubtful is an error, as the member would get messages too few or too
// many, and not know. Other parameters are nobody's, and may be broken.
func resumePoint(query string) (after string, err error) {
	found := false
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); err != nil || name != "after" {
			continue
		}
		if found {
			return "", errors.New("after: given more than once")
		}
		found = true
		if after, err = url.QueryUnescape(value); err != nil {
			return "", errors.New("after: not percent-encoded")
		}
	}
	if len(after) > packet.MaxUUID || !utf8.ValidString(after) {
		return "", errors.New("after: must be the uuid of a message")
	}
	return after, nil
}

// retryConnections is when one who has too many connections may try again,
// seconds: others of theirs must have ended by then.
const retryConnections = "10"

// start makes the member first and upgrades then: what is published after the
// 101 was written is on the member's queue.
func (s *Server) start(w http.ResponseWriter, r *http.Request, c *session) bool {
	if c.group != group.Lobby {
		if err := c.join(r.Context(), c.group); err != nil {
			s.unavailable(w, refusedGroup, time.Second)
			return false
		}
	}
	conn, err := s.door.Load().upgrader.Upgrade(w, r, c.out)
	if err != nil {
		c.leave()
		s.log.DebugContext(r.Context(), "upgrade failed", "error", err)
		return false
	}
	c.conn = conn
	s.metrics.opened.Inc()
	s.register(c)
	go c.run()
	return true
}

// refusal is why a connection is not accepted now, in words for the client.
type refusal string

const (
	refusedNot      refusal = ""
	refusedDraining refusal = "the server is going down"
	refusedFull     refusal = "too many connections"
	refusedRate     refusal = "too many connections at once"
	refusedGroup    refusal = "the group cannot be had now"
)

// pass waits for the connection's turn, or refuses it.
func (s *Server) pass(w http.ResponseWriter, r *http.Request) bool {
	s.metrics.waitingUpgrades.Inc()
	again, err := s.door.Load().gate.Pass(r.Context())
	s.metrics.waitingUpgrades.Dec()
	if again > 0 {
		s.unavailable(w, refusedRate, again)
	}
	return again == 0 && err == nil
}

// unavailable answers 503; it is worth to come back after a while.
func (s *Server) unavailable(w http.ResponseWriter, why refusal, again time.Duration) {
	s.metrics.refusedUpgrades[why].Inc()
	// Not all that are refused in one moment are to come back in one.
	again += rand.N(2 * time.Second)
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(again.Seconds()))))
	s.opts.WriteError(w, http.StatusServiceUnavailable, string(why))
}

// admit counts a connection in and numbers it, or says why not.
func (s *Server) admit() (id uint32, why refusal) {
	most := s.door.Load().maxConnections
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return 0, refusedDraining
	case most > 0 && s.admitted >= most:
		return 0, refusedFull
	}
	s.admitted++
	s.running.Add(1)
	return s.nextID(), refusedNot
}

// nextID returns a number that no living session has; 0 is HTTP's.
func (s *Server) nextID() uint32 {
	for {
		s.lastID++
		if s.lastID == 0 {
			continue
		}
		if _, taken := s.bucket(s.lastID)[s.lastID]; !taken {
			return s.lastID
		}
	}
}

func (s *Server) bucket(id uint32) map[uint32]*session { return s.buckets[id%pingEvery] }

// register makes the session known to keepalive and to Drain.
func (s *Server) register(c *session) {
	s.mu.Lock()
	s.bucket(c.id)[c.id] = c
	draining := s.draining
	s.mu.Unlock()
	if draining {
		c.goAway()
	}
}

// release counts a connection out.
func (s *Server) release(c *session) {
	c.guest.Leave()
	s.mu.Lock()
	s.admitted--
	s.mu.Unlock()
	s.running.Done()
}

func (s *Server) forget(c *session) {
	s.mu.Lock()
	delete(s.bucket(c.id), c.id)
	s.mu.Unlock()
	s.release(c)
}

// all returns the sessions of now.
func (s *Server) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, s.admitted)
	for _, bucket := range s.buckets {
		for _, c := range bucket {
			all = append(all, c)
		}
	}
	return all
}
