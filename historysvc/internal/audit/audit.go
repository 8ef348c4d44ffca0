// Package audit writes down who recalled messages and who administered groups:
// one JSON object a line, never a message's text.
//
// It stands behind what finds out who calls. Whoever is turned away before that
// has done nothing and has no name, and is not written down; a refusal for want of a
// right, or a message that is not there, is.
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
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// The actions.
const (
	recall     = "recall"
	setTTL     = "set_ttl"
	listGroups = "list_groups"
)

// UserKey is the metadata key under which a service of ours names the user for
// whom it calls. Nobody else is believed.
const UserKey = "gotapi-user-bin"

// Entry is one line.
type Entry struct {
	Time   time.Time `json:"time"`
	Action string    `json:"action"`
	Group  string    `json:"group,omitempty"`
	UUID   string    `json:"uuid,omitempty"`
	// Of set_ttl, seconds.
	TTL int64 `json:"ttl,omitempty"`
	// Who called: the subject of a token, the name of an API key, or of a service
	// of ours; "": nobody knows.
	Caller string `json:"caller"`
	// For whom a service called.
	User string `json:"user,omitempty"`
	// Where the call came from, which for users of an edge is the edge.
	Peer string `json:"peer"`
	// The name of a gRPC status: OK, NotFound, PermissionDenied, DeadlineExceeded
	// (nobody knows whether it was done) ...
	Outcome string `json:"outcome"`
}

// Log is where the lines go. Its methods may be called at once from many
// goroutines. The nil Log writes nothing.
type Log struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	out  io.Writer
	file *os.File // nil if out is not ours to close
	// The last line was not written to its end.
	torn bool
}

// Open returns a Log that appends to a file; "-" is the standard output, and ""
// gives nil.
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

// New returns a Log that writes to out, a line at a time.
func New(out io.Writer, log *slog.Logger) *Log { return &Log{log: log, now: time.Now, out: out} }

// Close ends the file.
func (l *Log) Close() error {
	if l == nil || l.file == nil {
		return nil
	}
	return l.file.Close()
}

// Unary is a grpc.UnaryServerInterceptor. What cannot be written is done all the
// same, and is in the service's own log.
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

// entryOf begins the line of a request. It returns false for those that have none.
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
	}
	return Entry{}, false
}

// clip bounds what a caller may have made up: nothing that is longer names a group or
// a message, and a request may be of megabytes.
func clip(s string) string { return s[:min(len(s), group.MaxLen)] }

func (e *Entry) identify(ctx context.Context) {
	id := access.FromContext(ctx)
	e.Caller = id.Name()
	if id.Service() {
		md, _ := metadata.FromIncomingContext(ctx)
		for _, name := range md[UserKey] {
			e.User = name
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
		l.log.ErrorContext(ctx, "a line of the audit log could not be written", "action", e.Action, "group", e.Group, "uuid", e.UUID, "error", err)
	}
}

// writeLine writes a line. What a full disk has left of the one before ends first, so
// that it takes no other with it.
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
