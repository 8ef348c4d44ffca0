package relayserver

import (
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func relayPosition(p stream.Position) *relayv1.Position {
	return &relayv1.Position{Epoch: uint64(p.Epoch), Seq: p.Seq, Changes: p.Changes, Link: uint32(p.Link)}
}

// fillEvent writes e into an empty message. The payload is shared.
func fillEvent(m *relayv1.Event, e *stream.Event) {
	m.Kind = relayv1.EventKind(e.Kind) // the same numbers
	m.Seq = e.Seq
	m.Changes = e.Changes
	m.Prev = uint32(e.Prev)
	m.Link = uint32(e.Link)
	m.OriginEdge = e.Origin.Edge
	m.OriginId = e.Origin.ID
	m.Target = e.Target
	m.Uuid = e.UUID
	m.Payload = e.Payload
	m.At = e.At
	m.By = relayAuthor(e.By)
}

func relayAuthor(a stream.Author) *relayv1.Author {
	if !a.Valid() {
		return nil
	}
	return &relayv1.Author{Name: a.Name, Key: a.Key}
}

// relayEvents allocates all messages at once.
func relayEvents(events []stream.Event) []*relayv1.Event {
	messages := make([]relayv1.Event, len(events))
	pointers := make([]*relayv1.Event, len(events))
	for i := range events {
		fillEvent(&messages[i], &events[i])
		pointers[i] = &messages[i]
	}
	return pointers
}

// streamKind returns what a packet becomes in its group; 0 for an unknown kind.
func streamKind(k relayv1.PacketKind) stream.Kind {
	switch k {
	case relayv1.PacketKind_PACKET_KIND_DATA:
		return stream.Message
	case relayv1.PacketKind_PACKET_KIND_TEXT:
		return stream.Text
	case relayv1.PacketKind_PACKET_KIND_BINARY:
		return stream.Binary
	default:
		return 0
	}
}
