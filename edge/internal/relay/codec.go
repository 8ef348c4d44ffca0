package relay

import (
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func encodeKind(k stream.Kind) relayv1.PacketKind {
	switch k {
	case stream.Message:
		return relayv1.PacketKind_PACKET_KIND_DATA
	case stream.Text:
		return relayv1.PacketKind_PACKET_KIND_TEXT
	case stream.Binary:
		return relayv1.PacketKind_PACKET_KIND_BINARY
	default: // Tombstone and Recall are made by the history service alone.
		return relayv1.PacketKind_PACKET_KIND_UNSPECIFIED
	}
}

func encodePosition(p *stream.Position) *relayv1.Position {
	if p == nil {
		return nil
	}
	return &relayv1.Position{Epoch: uint64(p.Epoch), Seq: p.Seq, Changes: p.Changes, Link: uint32(p.Link)}
}

func decodePosition(p *relayv1.Position) stream.Position {
	return stream.Position{
		Epoch:   stream.Epoch(p.GetEpoch()),
		Seq:     p.GetSeq(),
		Changes: p.GetChanges(),
		Link:    stream.Link(p.GetLink()),
	}
}

// EncodeAuthor leaves out a name that nobody keeps: it may not even be valid UTF-8.
func EncodeAuthor(a stream.Author) *relayv1.Author {
	if !a.Valid() {
		return nil
	}
	return &relayv1.Author{Name: a.Name, Key: a.Key}
}

// decodeEvents shares the payloads with all.
func decodeEvents(all []*relayv1.Event) []stream.Event {
	events := make([]stream.Event, len(all))
	for i, e := range all {
		events[i] = stream.Event{
			Kind:    stream.Kind(e.GetKind()), // the same numbers
			Seq:     e.GetSeq(),
			Changes: e.GetChanges(),
			Prev:    stream.Link(e.GetPrev()),
			Link:    stream.Link(e.GetLink()),
			Origin:  stream.Origin{Edge: e.GetOriginEdge(), ID: e.GetOriginId()},
			Target:  e.GetTarget(),
			UUID:    e.GetUuid(),
			Payload: e.GetPayload(),
			At:      e.GetAt(),
			By:      stream.Author{Name: e.GetBy().GetName(), Key: e.GetBy().GetKey()},
		}
	}
	return events
}

// decodeOutcome takes what it does not know for Unknown.
func decodeOutcome(o relayv1.Outcome) Outcome {
	switch o {
	case relayv1.Outcome_OUTCOME_ACCEPTED:
		return Accepted
	case relayv1.Outcome_OUTCOME_DUPLICATE:
		return Duplicate
	case relayv1.Outcome_OUTCOME_INVALID:
		return Invalid
	case relayv1.Outcome_OUTCOME_BUSY:
		return Busy
	case relayv1.Outcome_OUTCOME_UNAVAILABLE:
		return Unavailable
	default:
		return Unknown
	}
}
