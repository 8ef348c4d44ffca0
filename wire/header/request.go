package header

import (
	"errors"
	"fmt"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// Limits of a request's keys.
const (
	// maxInteger is the largest integer that every JSON reader keeps exactly.
	maxInteger = 1<<53 - 1
	// MaxLast is how many messages a join may ask for.
	MaxLast = 1000
	// MaxHistory is how many messages a page of history may have.
	MaxHistory         = 1000
	defaultHistorySize = 50
)

// Do is what a request asks for.
type Do uint8

// The kinds of requests.
const (
	// Unknown: ParseRequest has failed before it knew.
	Unknown Do = iota
	Join
	Leave
	Publish
	Recall
	History
	Token
	Ping
)

var doNames = [...]string{
	Unknown: "unknown", Join: "join", Leave: "leave", Publish: "publish", Recall: "recall", History: "history", Token: "token", Ping: "ping",
}

func (d Do) String() string { return doNames[d] }

// Integer is an integer that may be absent.
type Integer struct {
	Value uint64
	Set   bool
}

// Request is what a client's message asks for. Keys that are absent, and those that mean
// nothing to its Do, are zero.
type Request struct {
	Do Do
	// A request with an ID gets exactly one answer.
	ID Integer
	// Of every request but token and ping.
	Group group.Name

	// Join: the text of a position, and how many messages to begin with.
	From string
	Last Integer
	// Recall: of the message.
	UUID string
	// History: at most one of them is set; and how many messages, 1 to MaxHistory.
	Before, After Integer
	Size          int
	// Token: the new credential.
	Token string
	// Publish: a part of the message.
	Packet []byte
}

// The keys of requests.
const (
	keyDo = iota
	keyID
	keyGroup
	keyFrom
	keyLast
	keyUUID
	keyBefore
	keyAfter
	keySize
	keyToken
	keys
)

var keyNames = [keys]string{
	keyDo: "do", keyID: "id", keyGroup: "group", keyFrom: "from", keyLast: "last", keyUUID: "uuid",
	keyBefore: "before", keyAfter: "after", keySize: "size", keyToken: "token",
}

var (
	errTooLong   = fmt.Errorf("the header has more than %d bytes", MaxSize)
	errNoObject  = errors.New("the header is not one JSON object")
	errRepeated  = errors.New("a key of the header occurs twice")
	errUnknownDo = errors.New("unknown do")
	errNoPacket  = errors.New("publish: the message carries no packet")
	errBothEnds  = errors.New("history: before and after exclude each other")
)

// ParseRequest reads a message. Its error is for the client. Even then the request has its ID
// if the header is an object with a good one and without repeated keys.
func ParseRequest(message []byte) (r Request, err error) {
	header, body, carries := Split(message)
	var v values
	if err := v.read(header); err != nil {
		return r, err
	}
	r.ID = v.integer(keyID, 0, maxInteger)
	if v.err != nil {
		return r, v.err
	}
	r.Do = v.do()
	if r.Do != Token && r.Do != Ping && v.err == nil {
		r.Group = v.group()
	}
	switch r.Do {
	case Join:
		r.From, r.Last = v.text(keyFrom), v.integer(keyLast, 0, MaxLast)
	case Publish:
		r.Packet = body
		if !carries {
			v.fail(errNoPacket)
		}
	case Recall:
		r.UUID = v.required(keyUUID)
	case History:
		r.Before, r.After = v.integer(keyBefore, 0, maxInteger), v.integer(keyAfter, 0, maxInteger)
		r.Size = defaultHistorySize
		if size := v.integer(keySize, 1, MaxHistory); size.Set {
			r.Size = int(size.Value)
		}
		if r.Before.Set && r.After.Set {
			v.fail(errBothEnds)
		}
	case Token:
		r.Token = v.required(keyToken)
	case Unknown, Leave, Ping:
	}
	return r, v.err
}

// values are the texts of a header's values by key; none if the key is absent, or null.
type values struct {
	raw [keys][]byte
	// What is wrong first.
	err error
}

// read finds the values of a header.
func (v *values) read(header []byte) error {
	if len(header) > MaxSize {
		return errTooLong
	}
	var known [keys]bool
	var others map[string]bool
	repeated := false
	ok := packet.Object(header, func(name, value []byte) {
		for k := range known {
			if string(name) == keyNames[k] {
				repeated = repeated || known[k]
				known[k] = true
				if string(value) != "null" {
					v.raw[k] = value
				}
				return
			}
		}
		if others == nil {
			others = make(map[string]bool)
		}
		repeated = repeated || others[string(name)]
		others[string(name)] = true
	})
	switch {
	case !ok:
		return errNoObject
	case repeated:
		return errRepeated
	}
	return nil
}

func (v *values) fail(err error) {
	if v.err == nil {
		v.err = err
	}
}

func (v *values) do() Do {
	name := v.required(keyDo)
	if v.err != nil {
		return Unknown
	}
	for d := Join; int(d) < len(doNames); d++ {
		if name == doNames[d] {
			return d
		}
	}
	v.fail(errUnknownDo)
	return Unknown
}

func (v *values) group() group.Name {
	text := v.required(keyGroup)
	if v.err != nil {
		return ""
	}
	name, err := group.Parse(text)
	if err != nil {
		v.fail(fmt.Errorf("group: %w", err))
	}
	return name
}

// integer returns the integer of a key that may be absent.
func (v *values) integer(key int, least, most uint64) (i Integer) {
	raw := v.raw[key]
	if raw == nil {
		return i
	}
	n, ok := packet.Number(raw, most)
	if !ok || n < least {
		v.fail(fmt.Errorf("%s: must be an integer from %d to %d", keyNames[key], least, most))
		return i
	}
	return Integer{Value: n, Set: true}
}

// text returns the text of a key that may be absent, but not empty.
func (v *values) text(key int) string {
	raw := v.raw[key]
	if raw == nil {
		return ""
	}
	text, ok := packet.Text(raw)
	if !ok || text == "" {
		v.fail(fmt.Errorf("%s: must be a text that is not empty", keyNames[key]))
	}
	return text
}

// required is text for a key that may not be absent.
func (v *values) required(key int) string {
	if v.raw[key] == nil {
		v.fail(fmt.Errorf("%s: is missing", keyNames[key]))
	}
	return v.text(key)
}
