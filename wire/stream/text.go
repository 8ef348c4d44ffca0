package stream

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/fnv"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// MaxPositionText is the length of the longest text of a Position.
const MaxPositionText = 48

// ErrPositionText means that a text is not a Position.
var ErrPositionText = errors.New("not a position")

// The bytes of a position's text: version(1) group(2) epoch(8) link(4), then Seq and
// Changes as varints; in base64 for URLs.
const (
	textVersion   = 1
	textFixedSize = 1 + 2 + 8 + 4
)

// nowhere is a position that no history has: the store takes it for lost.
var nowhere = Position{Epoch: ^Epoch(0), Seq: 1}

// Text returns p as users of the group g see it: an opaque text of at most
// MaxPositionText characters of A-Z, a-z, 0-9, - and _. The same position always has
// the same text.
func (p Position) Text(g group.Name) string { return string(p.AppendText(nil, g)) }

// AppendText appends p.Text(g) to dst.
func (p Position) AppendText(dst []byte, g group.Name) []byte {
	b := make([]byte, textFixedSize, textFixedSize+2*binary.MaxVarintLen64)
	b[0] = textVersion
	binary.BigEndian.PutUint16(b[1:], groupMark(g))
	binary.BigEndian.PutUint64(b[3:], uint64(p.Epoch))
	binary.BigEndian.PutUint32(b[11:], uint32(p.Link))
	b = binary.AppendUvarint(b, p.Seq)
	b = binary.AppendUvarint(b, p.Changes)
	return base64.RawURLEncoding.AppendEncode(dst, b)
}

// ParsePosition reads a Position.Text of the group g. That of another group is no error:
// it becomes a position from which g cannot be continued. Other texts are
// ErrPositionText.
func ParsePosition(g group.Name, text string) (Position, error) {
	if len(text) > MaxPositionText {
		return Position{}, ErrPositionText
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < textFixedSize || b[0] != textVersion {
		return Position{}, ErrPositionText
	}
	p := Position{
		Epoch: Epoch(binary.BigEndian.Uint64(b[3:])),
		Link:  Link(binary.BigEndian.Uint32(b[11:])),
	}
	rest := b[textFixedSize:]
	for _, n := range []*uint64{&p.Seq, &p.Changes} {
		value, size := binary.Uvarint(rest)
		if size <= 0 || size > 1 && rest[size-1] == 0 { // too long, or not the shortest
			return Position{}, ErrPositionText
		}
		*n, rest = value, rest[size:]
	}
	switch {
	case len(rest) > 0:
		return Position{}, ErrPositionText
	case binary.BigEndian.Uint16(b[1:]) != groupMark(g):
		return nowhere, nil
	}
	return p, nil
}

// groupMark tells the texts of one group from most of another's. Epochs tell them apart,
// too, but for groups in which nothing was ever stored.
func groupMark(g group.Name) uint16 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(g)) // never fails
	sum := h.Sum32()
	return uint16(sum>>16) ^ uint16(sum)
}
