package redisstore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// digest is what the index remembers of a message.
type digest [12]byte

// The kinds of identity, hashed in front of it so that none can pass for
// another.
const (
	byUUID   = 'u'
	byOrigin = 'o'
	byChance = 'n'
)

func uuidDigest(uuid string) digest {
	var b [1 + 128]byte
	b[0] = byUUID
	return cut(append(b[:1], uuid...))
}

// identity is the digest by which retries of a message are recognised: its
// uuid, else its origin, else, so that at least our own retries are, a random
// number.
func identity(p *history.Publication) digest {
	if p.UUID != "" {
		return uuidDigest(p.UUID)
	}
	var b [17]byte
	if p.Origin == (stream.Origin{}) {
		b[0] = byChance
		_, _ = rand.Read(b[1:]) // never fails
	} else {
		b[0] = byOrigin
		putOrigin(b[1:], p.Origin)
	}
	return cut(b[:])
}

func cut(b []byte) digest {
	sum := sha256.Sum256(b)
	return digest(sum[:12])
}

func putOrigin(b []byte, o stream.Origin) {
	binary.BigEndian.PutUint64(b, o.Edge)
	binary.BigEndian.PutUint64(b[8:], o.ID)
}

func parseOrigin(b []byte) stream.Origin {
	return stream.Origin{Edge: binary.BigEndian.Uint64(b), ID: binary.BigEndian.Uint64(b[8:])}
}

// newLink draws a link as Redis keeps it. 0 is not drawn: it is the link of
// events whose link is not known.
func newLink() string {
	var b [4]byte
	for b == [4]byte{} {
		_, _ = rand.Read(b[:]) // never fails
	}
	return string(b[:])
}

func parseLink(s string) stream.Link {
	if len(s) < 4 {
		return 0
	}
	return stream.Link(binary.BigEndian.Uint32([]byte(s[:4])))
}

// newEpoch draws an epoch as Redis keeps it: 16 hexadecimal digits, not all 0.
func newEpoch() string {
	var b [8]byte
	for b == [8]byte{} {
		_, _ = rand.Read(b[:]) // never fails
	}
	return hex.EncodeToString(b[:])
}
