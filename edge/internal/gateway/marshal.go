package gateway

import (
	"strconv"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// jsonMarshaler writes answers exactly as docs/protocol.md says: all keys, in
// this order, numbers as numbers, no null, no spaces. (protojson writes 64-bit
// numbers as strings, and spaces at random.) Other types, and streams, of which
// there are none, are protojson's.
type jsonMarshaler struct{ runtime.JSONPb }

// ContentType implements runtime.Marshaler.
func (*jsonMarshaler) ContentType(any) string { return httpjson.ContentType }

// Marshal implements runtime.Marshaler.
func (m *jsonMarshaler) Marshal(v any) ([]byte, error) {
	switch r := v.(type) {
	case *historyv1.CancelResponse:
		return marshalDone(r.GetCode(), r.GetMsg()), nil
	case *historyv1.SetTTLResponse:
		return marshalDone(r.GetCode(), r.GetMsg()), nil
	case *historyv1.ListGroupsResponse:
		return marshalGroups(r), nil
	default:
		return m.JSONPb.Marshal(v)
	}
}

// linesMarshaler writes a list of groups as text, one name a line. (A name has
// no control characters.)
type linesMarshaler struct{ jsonMarshaler }

// ContentType implements runtime.Marshaler.
func (*linesMarshaler) ContentType(any) string { return contentTypeText }

// Marshal implements runtime.Marshaler.
func (m *linesMarshaler) Marshal(v any) ([]byte, error) {
	r, ok := v.(*historyv1.ListGroupsResponse)
	if !ok {
		return m.jsonMarshaler.Marshal(v)
	}
	b := []byte{}
	for _, g := range r.GetGroups() {
		b = append(b, g.GetName()...)
		b = append(b, '\n')
	}
	return b, nil
}

// marshalHistory writes a page. With meta it also writes what is known of each message, and
// the position, unless the history service is of a version without.
func marshalHistory(r *historyv1.GetHistoryResponse, meta bool) []byte {
	meta = meta && len(r.GetMeta()) == len(r.GetData())
	size := 96
	if meta {
		size += 64 + 64*len(r.GetMeta())
	}
	for _, text := range r.GetData() {
		// Packets are JSON: each quote gets a backslash.
		size += len(text) + len(text)/4 + 8
	}
	b := make([]byte, 0, size)
	b = append(b, `{"code":`...)
	b = appendInt(b, r.GetCode())
	b = append(b, `,"position":`...)
	b = appendInt(b, r.GetPosition())
	b = append(b, `,"msg":`...)
	b = httpjson.AppendString(b, r.GetMsg())
	b = append(b, `,"data":[`...)
	for i, text := range r.GetData() {
		if i > 0 {
			b = append(b, ',')
		}
		b = httpjson.AppendString(b, text)
	}
	b = append(b, ']')
	if r.Next != nil {
		b = append(b, `,"next":`...)
		b = appendInt(b, r.GetNext())
	}
	if meta {
		b = appendMeta(b, r)
	}
	return append(b, '}')
}

func appendMeta(b []byte, r *historyv1.GetHistoryResponse) []byte {
	b = append(b, `,"meta":[`...)
	for i, m := range r.GetMeta() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"seq":`...)
		b = strconv.AppendUint(b, m.GetSeq(), 10)
		b = append(b, `,"at":`...)
		b = strconv.AppendInt(b, m.GetAt(), 10)
		switch {
		case m.GetKey() != "":
			b = append(b, `,"key":`...)
			b = httpjson.AppendString(b, m.GetKey())
		case m.GetBy() != "":
			b = append(b, `,"by":`...)
			b = httpjson.AppendString(b, m.GetBy())
		}
		b = append(b, '}')
	}
	b = append(b, ']')
	if pos := r.GetStreamPosition(); pos != "" {
		b = append(b, `,"pos":`...)
		b = httpjson.AppendString(b, pos)
	}
	return b
}

func marshalDone(code int32, msg string) []byte {
	b := append([]byte(nil), `{"code":`...)
	b = appendInt(b, code)
	b = append(b, `,"msg":`...)
	b = httpjson.AppendString(b, msg)
	return append(b, '}')
}

func marshalGroups(r *historyv1.ListGroupsResponse) []byte {
	b := append([]byte(nil), `{"code":`...)
	b = appendInt(b, r.GetCode())
	b = append(b, `,"groups":[`...)
	for i, g := range r.GetGroups() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"name":`...)
		b = httpjson.AppendString(b, g.GetName())
		b = append(b, `,"members":`...)
		b = appendInt(b, g.GetMembers())
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

func appendInt(b []byte, n int32) []byte { return strconv.AppendInt(b, int64(n), 10) }
