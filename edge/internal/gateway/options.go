package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"time"

	"github.com/rs/cors"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/caller"
	"github.com/gotapi/gotapi-ws/edge/internal/console"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/internal/refusals"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/header"
)

// defaultRequests bounds the requests under way: each holds a goroutine, buffers, and
// up to a message until it is answered.
const defaultRequests = 10_000

// defaultStreams bounds the streams under way.
const defaultStreams = 10_000

// Options of a Handler.
type Options struct {
	// Largest body of a publish, bytes.
	MaxMessageBytes int64
	// How long a publication may wait for its result, as the relay has it; 5 s.
	PublishTimeout time.Duration
	// Requests under way at one time, those for a WebSocket until they are
	// answered; more are refused with 503. 10,000. Reconfigure ignores it.
	MaxRequests int
	// MaxStreams is how many event streams and long polls may be under way at one time;
	// others get 503. 10,000. Reconfigure ignores it.
	MaxStreams int
	// Bytes of pages of history that are kept; 0: none are. Reconfigure ignores it.
	PageCache int
	// Each opens the admin endpoints; none keeps them shut.
	AdminSecrets [][]byte
	// Origins whose pages may read answers, as in rs/cors: "*", or a list in
	// which each entry may hold one "*". None: no pages may.
	AllowedOrigins []string
	// LogRefusals makes each refused upgrade a line at level Info, not Debug.
	LogRefusals bool
}

// Publisher takes packets on their way to a group; *relay.Client in production.
type Publisher interface {
	// Publish calls End of each exactly once, in bounded time. It may use the memory of
	// batch. Those of one group that follow each other keep their order, as
	// relay.Client.Publish says.
	Publish(batch ...*relay.Publication)
}

// Sockets opens WebSockets; *session.Server in production.
type Sockets interface {
	// ServeHTTP answers a request to open a WebSocket in a group that the caller may
	// join.
	ServeHTTP(w http.ResponseWriter, r *http.Request, g group.Name, id *access.Identity)
	// ServeV2 answers a request to open a WebSocket that speaks gotapi.v2.
	ServeV2(w http.ResponseWriter, r *http.Request, id *access.Identity)
}

// Streams serves events without WebSockets; *eventstream.Server in production. It checks
// rights.
type Streams interface {
	// ServeGroup streams a group after a position, if from is not "", or with the newest
	// messages.
	ServeGroup(w http.ResponseWriter, r *http.Request, id *access.Identity, g group.Name, from string, last header.Integer)
	// ServeGroups streams the groups that a body names.
	ServeGroups(w http.ResponseWriter, r *http.Request, id *access.Identity, body []byte)
	// ServePoll answers with events after a position, and waits for them.
	ServePoll(w http.ResponseWriter, r *http.Request, id *access.Identity, g group.Name, from string, wait time.Duration)
}

// Backends serve the requests that the Handler hands on.
type Backends struct {
	// Limits of clients; nil: none.
	Limits *limit.Limits
	// Groups are settings of single groups; nil: there are none.
	Groups *groupsettings.File
	// Budget of the bytes that clients make the edge hold; nil: one for the memory that
	// the process may use.
	Budget *limit.Budget
	// Callers knows who sends requests.
	Callers   *caller.Callers
	Publisher Publisher
	History   *Forwarder
	// Console has the pages for browsers.
	Console *console.Console
	// Tracer makes spans of requests; nil: none.
	Tracer trace.Tracer
	// Version is what the edge was built from, as a JSON object.
	Version []byte
	Sockets Sockets
	Streams Streams
	// Services says which programs work together, as a JSON object.
	Services func(context.Context) ([]byte, error)
	// Processes says what the edge knows of all processes.
	Processes func(context.Context) Processes
	// Config returns the settings of a group.
	Config func(group.Name) groupsettings.Explanation
	// Refused remembers what is refused; may be nil.
	Refused *refusals.Log
}

// reloadable is what Reconfigure replaces.
type reloadable struct {
	Options
	cors *cors.Cors
	// SHA-256 of each admin secret.
	secrets [][sha256.Size]byte
}

// Reconfigure uses opts for the requests that come from now on.
func (h *Handler) Reconfigure(opts Options) {
	r := &reloadable{Options: opts, cors: newCORS(opts.AllowedOrigins)}
	for _, secret := range opts.AdminSecrets {
		r.secrets = append(r.secrets, sha256.Sum256(secret))
	}
	h.reloadable.Store(r)
}

// isSecret compares a credential with the admin secrets in a time that tells nothing
// about them: hashes have one length.
func (r *reloadable) isSecret(credential string) bool {
	got, found := sha256.Sum256([]byte(credential)), 0
	for i := range r.secrets {
		found |= subtle.ConstantTimeCompare(got[:], r.secrets[i][:])
	}
	return found == 1
}
