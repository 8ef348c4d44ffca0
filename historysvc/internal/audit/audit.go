// Package audit logs recalls and administration of groups, with their callers: one
// JSON object a line, never a message's text.
//
// Its interceptor comes after authentication. Callers without a valid credential
// have done nothing and have no name, so they are not logged. Refusals for a missing
// right, and recalls of unknown messages, are.
package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// The actions.
const (
	recall     = "recall"
	setTTL     = "set_ttl"
	listGroups = "list_groups"
	getGroup   = "get_group"
	purge      = "purge"
)

// The metadata keys by which one of our services names the user on whose behalf it calls,
// and the user that this one acts for. Other callers cannot set them.
const (
	UserKey  = "gotapi-user-bin"
	ActAsKey = "gotapi-act-as-bin"
)

// Entry is one line.
type Entry struct {
	Time   time.Time `json:"time"`
	Action string    `json:"action"`
	Group  string    `json:"group,omitempty"`
	UUID   string    `json:"uuid,omitempty"`
	// Of set_ttl, seconds.
	TTL int64 `json:"ttl,omitempty"`
	// The subject of a token, or the name of an API key or of one of our services;
	// "": unknown.
	Caller string `json:"caller"`
	// The user on whose behalf a service called.
	User string `json:"user,omitempty"`
	// The user that Caller or User acts for, with the right act_as.
	ActAs string `json:"act_as,omitempty"`
	// Address of the caller; for users of an edge, the edge's.
	Peer string `json:"peer"`
	// The name of a gRPC status: OK, NotFound, PermissionDenied, DeadlineExceeded
	// (it may or may not have been done) ...
	Outcome string `json:"outcome"`
}

// Log writes the lines. It is safe for concurrent use. A nil Log writes nothing.
type Log struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	out  io.Writer
	file *os.File // nil if Close must not close out
	// The last line was not written completely.
	torn bool
}

// Open returns a Log that appends to a file. "-" means standard output; for "" it
// returns nil.
func Open(path string, log *slog.Logger) (*Log, error) {
	switch path {
	case "":
		return nil, nil //nolint:nilnil // see above
	case "-":
		return New(os.Stdout, log), nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // the operator named it
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	l := New(f, log)
	l.file = f
	return l, nil
}

// New returns a Log that writes to out, one line in each call.
func New(out io.Writer, log *slog.Logger) *Log { return &Log{log: log, now: time.Now, out: out} }

// Close closes the file.
func (l *Log) Close() error {
	if l == nil || l.file == nil {
		return nil
	}
	return l.file.Close()
}

// Unary is a grpc.UnaryServerInterceptor. If a line cannot be written, the call
// succeeds all the same, and the service's own log has the line.
func (l *Log) Unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	e, wanted := entryOf(req)
	if l == nil || !wanted {
		return handler(ctx, req)
	}
	resp, err := handler(ctx, req)
	e.Time = l.now().UTC()
	e.Outcome = status.Code(err).String()
	e.identify(ctx)
	l.write(ctx, &e)
	return resp, err
}

// entryOf returns the fields that a request decides, and false for a request without
// an entry.
func entryOf(req any) (Entry, bool) {
	switch r := req.(type) {
	case *historyv1.CancelRequest:
		return Entry{Action: recall, Group: clip(r.GetGroupName()), UUID: clip(r.GetUuid())}, true
	case *relayv1.RecallRequest:
		return Entry{Action: recall, Group: clip(r.GetGroup()), UUID: clip(r.GetUuid())}, true
	case *historyv1.SetTTLRequest:
		return Entry{Action: setTTL, Group: clip(r.GetGroupName()), TTL: r.GetTtl()}, true
	case *historyv1.ListGroupsRequest:
		return Entry{Action: listGroups}, true
	case *adminv1.ListStoredGroupsRequest:
		return Entry{Action: listGroups}, r.GetPage() == "" // the first page stands for all
	case *adminv1.GetGroupRequest:
		return Entry{Action: getGroup, Group: clip(r.GetGroupName())}, true
	case *adminv1.PurgeRequest:
		return Entry{Action: purge, Group: clip(r.GetGroupName())}, true
	}
	return Entry{}, false
}

// clip bounds a name from a request, which may have megabytes. No group and no uuid
// is longer.
func clip(s string) string { return s[:min(len(s), group.MaxLen)] }

func (e *Entry) identify(ctx context.Context) {
	id := access.FromContext(ctx)
	e.Caller, e.ActAs = id.Name(), id.ActsFor()
	if id.Service() {
		md, _ := metadata.FromIncomingContext(ctx)
		for _, name := range md[UserKey] {
			e.User = name
		}
		for _, name := range md[ActAsKey] {
			e.ActAs = name
		}
	}
	if p, ok := peer.FromContext(ctx); ok {
		e.Peer = p.Addr.String()
	}
}

func (l *Log) write(ctx context.Context, e *Entry) {
	line, err := json.Marshal(e)
	if err == nil {
		err = l.writeLine(append(line, '\n'))
	}
	if err != nil {
		l.log.ErrorContext(ctx, "writing to the audit log failed", "action", e.Action, "group", e.Group, "uuid", e.UUID, "error", err)
	}
}

// writeLine writes a line. If a full disk cut the line before, it ends that one first.
func (l *Log) writeLine(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := l.out.Write(line)
	switch {
	case err == nil:
		l.torn = false
	case n > 0:
		l.torn = line[n-1] != '\n'
	}
	return err
}
