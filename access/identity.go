package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/http"
	"time"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// Action is what somebody may or may not do in a group.
type Action uint8

// The actions. Recalling has limits: see Identity.Recall.
const (
	// Join: become a member, or watch over gRPC.
	Join Action = iota
	// Publish: send packets, stored or not.
	Publish
	// Read: see the history.
	Read
	// Admin: set the lifetime of a history, list groups.
	Admin
)

var verbs = [...]string{Join: "join", Publish: "publish to", Read: "read the history of", Admin: "administer"}

// DeniedError is why something is not allowed, in words for the caller.
type DeniedError struct {
	// An HTTP status: 401 (who is it?), 403 (not this one), 503 (it cannot be
	// found out now).
	Status int
	Msg    string
}

func (r *DeniedError) Error() string { return r.Msg }

// authorBytes is the size of what the store keeps of an author.
const authorBytes = 8

// nobody is the author of what is published without a name.
var nobody = make([]byte, authorBytes)

// Identity is a caller: who it is, until when, and its rights. It does not change.
type Identity struct {
	name    string
	rights  Rights
	author  []byte
	expires time.Time
	known   bool
	service bool
	window  time.Duration
}

// Name is the subject of the token or the name of the API key; "" for who came
// without a credential. It may stand in logs.
func (id *Identity) Name() string { return id.name }

// Known says whether the caller has shown a credential.
func (id *Identity) Known() bool { return id.known }

// Service says whether the caller is a service of ours.
func (id *Identity) Service() bool { return id.service }

// Expires is when the credential ends, the leeway included; zero: never.
func (id *Identity) Expires() time.Time { return id.expires }

// Author is who published, for the history service to keep: 8 bytes, or none
// when nobody asks.
func (id *Identity) Author() []byte { return id.author }

// JoinsAny says whether there may be any group that the caller can join: the
// lobby is open to those.
func (id *Identity) JoinsAny() bool { return len(id.rights.Join) > 0 }

// May returns nil, or a *DeniedError.
func (id *Identity) May(a Action, g group.Name) error {
	var allowed Patterns
	switch a {
	case Join:
		allowed = id.rights.Join
	case Publish:
		allowed = id.rights.Publish
	case Read:
		allowed = id.rights.Read
	case Admin:
		allowed = id.rights.Admin
	}
	if allowed.Match(g) {
		return nil
	}
	return id.refuse("you may not " + verbs[a] + " this group")
}

// MayAdminister returns nil if there may be any group to administer, or a *DeniedError.
func (id *Identity) MayAdminister() error {
	if len(id.rights.Admin) > 0 {
		return nil
	}
	return id.refuse("you may not administer")
}

// named says whether messages can be somebody's own.
func (id *Identity) named() bool { return id.known && !bytes.Equal(id.author, nobody) }

func (id *Identity) refuse(msg string) error {
	if !id.known {
		return &DeniedError{Status: http.StatusUnauthorized, Msg: msg + " without a token"}
	}
	return &DeniedError{Status: http.StatusForbidden, Msg: msg}
}

// Limit says which messages of a group may be recalled.
type Limit struct {
	// Only those of this author, 8 bytes; none: anybody's.
	Author []byte
	// Only those stored within this time; 0: at any time.
	Within time.Duration
}

// Unlimited says whether every message may be recalled.
func (l *Limit) Unlimited() bool { return l.Author == nil && l.Within == 0 }

// Recall returns which messages of a group the caller may recall, or a *DeniedError.
// The recall window does not hold for those who were given the right to recall
// anybody's messages by name.
func (id *Identity) Recall(g group.Name) (Limit, error) {
	switch {
	case id.rights.RecallAny.Match(g) && id.known:
		return Limit{}, nil
	case id.rights.RecallAny.Match(g):
		return Limit{Within: id.window}, nil
	case id.rights.RecallOwn.Match(g) && id.named():
		return Limit{Author: id.author, Within: id.window}, nil
	}
	return Limit{}, id.refuse("you may not recall messages of this group")
}

// newOpen is everybody, where nobody is asked who they are.
func newOpen(window time.Duration) *Identity {
	id := &Identity{window: window, rights: Rights{
		Join: everything, Publish: everything, Read: everything, RecallAny: everything,
	}}
	if window > 0 {
		id.author = nobody
	}
	return id
}

// System is the caller that may do everything: a service of our own.
func System() *Identity {
	return &Identity{name: "system", known: true, service: true, rights: Rights{
		Join: everything, Publish: everything, Read: everything, RecallAny: everything, Admin: everything,
	}}
}

// authorOf is a digest of a name; nobody if there is none. Names of users and of
// API keys do not meet.
func authorOf(kind, name string) []byte {
	if name == "" {
		return nobody
	}
	sum := sha256.Sum256([]byte(kind + "\x00" + name))
	author := sum[:authorBytes:authorBytes]
	if bytes.Equal(author, nobody) {
		author[0] = 1
	}
	return author
}

type contextKey struct{}

// NewContext returns ctx with the caller of a request.
func NewContext(ctx context.Context, id *Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// stranger has no rights at all.
var stranger = &Identity{}

// FromContext is the caller of a request; one without any rights if nobody has
// found out who it is.
func FromContext(ctx context.Context) *Identity {
	if id, ok := ctx.Value(contextKey{}).(*Identity); ok {
		return id
	}
	return stranger
}
