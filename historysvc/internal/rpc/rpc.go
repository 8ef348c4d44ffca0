// Package rpc holds what the gRPC services of the history service share: checks
// of request fields, the table of errors and their statuses, and deadlines of
// publishes. Package historyapi serves internal services and the edges' REST
// interface, package relayserver serves edges.
package rpc

import (
	"fmt"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const (
	// PublishTimeout bounds a publish whose caller sets no earlier deadline.
	PublishTimeout = 5 * time.Second
	// MaxTTL is the longest time that a request can name: 100 years.
	MaxTTL = 100 * 365 * 24 * time.Hour
	// resultMargin is the time that a result may take on its way to the caller.
	resultMargin = 250 * time.Millisecond
)

// StoreDeadline returns when the store has to be done with a publish whose caller
// waits for timeout. That is a little before the caller gives up: the store may know
// that nothing was stored, and the caller alone does not.
func StoreDeadline(now time.Time, timeout time.Duration) time.Time {
	return now.Add(timeout - min(timeout/4, resultMargin))
}

// ParseGroup checks the name of a group that is to be read or changed. The lobby
// and the timer keep nothing.
func ParseGroup(name string) (group.Name, error) { return ParseGroupField("group_name", name) }

// ParseGroupField does the same for another field than group_name.
func ParseGroupField(field, name string) (group.Name, error) {
	g, err := group.Parse(name)
	switch {
	case err != nil:
		return "", BadField(field, err.Error())
	case !g.Publishable():
		return "", BadField(field, "this group keeps nothing")
	}
	return g, nil
}

// CheckUUID checks a field that must hold a uuid.
func CheckUUID(field, uuid string) error {
	if uuid == "" {
		return BadField(field, uuidRule)
	}
	return CheckOptionalUUID(field, uuid)
}

// CheckOptionalUUID checks a field that may hold a uuid.
func CheckOptionalUUID(field, uuid string) error {
	if len(uuid) > packet.MaxUUID {
		return BadField(field, uuidRule)
	}
	return nil
}

var uuidRule = fmt.Sprintf("must be 1 to %d bytes", packet.MaxUUID)

// ParseAuthor returns nil for no bytes; ok is false unless there are 8.
func ParseAuthor(b []byte) (a *history.Author, ok bool) {
	switch len(b) {
	case 0:
		return nil, true
	case len(history.Author{}):
		return (*history.Author)(b), true
	}
	return nil, false
}

// ParseName converts the name of an author; nil is none.
func ParseName(a *relayv1.Author) stream.Author {
	return stream.Author{Name: a.GetName(), Key: a.GetKey()}
}

// ParsePosition converts a position.
func ParsePosition(p *relayv1.Position) stream.Position {
	return stream.Position{
		Epoch:   stream.Epoch(p.GetEpoch()),
		Seq:     p.GetSeq(),
		Changes: p.GetChanges(),
		Link:    stream.Link(p.GetLink()),
	}
}
