package layout

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Digest is what the index remembers of a message.
type Digest [12]byte

// The kinds of identity, hashed in front of it so that none can pass for
// another.
const (
	byUUID   = 'u'
	byOrigin = 'o'
	byChance = 'n'
)

// UUIDDigest is the digest of messages with that uuid.
func UUIDDigest(uuid string) Digest {
	var b [1 + 128]byte
	b[0] = byUUID
	return digestOf(append(b[:1], uuid...))
}

// Identity is the digest by which retries of a message are recognized: that of
// its uuid, else of its origin, else of a random number, which recognizes at
// least our own retries.
func Identity(p *history.Publication) Digest {
	if p.UUID != "" {
		return UUIDDigest(p.UUID)
	}
	var b [17]byte
	if p.Origin == (stream.Origin{}) {
		b[0] = byChance
		_, _ = rand.Read(b[1:]) // never fails
	} else {
		b[0] = byOrigin
		putOrigin(b[1:], p.Origin)
	}
	return digestOf(b[:])
}

func digestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(sum[:12])
}

// UUIDOf returns the uuid of a stored text: that of a data packet, or the one
// that a tombstone names; "" if it has none.
func UUIDOf(text string) string {
	if uuid, ok := packet.ParseTombstone(text); ok {
		return uuid
	}
	if p := packet.Classify([]byte(text)); p.Kind == packet.Data {
		return p.UUID
	}
	return ""
}

func putOrigin(b []byte, o stream.Origin) {
	binary.BigEndian.PutUint64(b, o.Edge)
	binary.BigEndian.PutUint64(b[8:], o.ID)
}

// NewLink draws a link as Redis keeps it. It never draws 0, the link of events
// whose link is not known.
func NewLink() string {
	var b [4]byte
	for b == [4]byte{} {
		_, _ = rand.Read(b[:]) // never fails
	}
	return string(b[:])
}

// ParseLink reads the link at the beginning of s; 0 if there is none.
func ParseLink(s string) stream.Link {
	if len(s) < 4 {
		return 0
	}
	return stream.Link(binary.BigEndian.Uint32([]byte(s[:4])))
}

// NewEpoch draws an epoch as Redis keeps it: 16 hexadecimal digits, not all 0.
func NewEpoch() string {
	var b [8]byte
	for b == [8]byte{} {
		_, _ = rand.Read(b[:]) // never fails
	}
	return hex.EncodeToString(b[:])
}
