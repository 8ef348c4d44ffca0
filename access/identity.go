package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Action is what a caller may or may not do in a group.
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

var (
	verbs  = [...]string{Join: "join", Publish: "publish to", Read: "read the history of", Admin: "administer"}
	grants = [...]string{Join: "join", Publish: "publish", Read: "read", Admin: "admin"}
)

// DeniedError tells the caller why something is not allowed.
type DeniedError struct {
	// An HTTP status: 400 (bad user to act for), 401 (unknown caller), 403 (not allowed), 429 (too much at
	// once), 503 (cannot be decided now).
	Status int
	// Why, for programs.
	Reason Reason
	Msg    string
}

// Reason is why something is refused.
type Reason string

// The reasons. Callers of gRPC get them as they are (docs/protocol.md, section 8).
const (
	NoCredential    Reason = "CREDENTIAL_MISSING" //nolint:gosec // G101: no credential
	BadToken        Reason = "TOKEN_INVALID"
	BadSignature    Reason = "TOKEN_SIGNATURE_INVALID"
	ExpiredToken    Reason = "TOKEN_EXPIRED"
	UnknownAPIKey   Reason = "API_KEY_UNKNOWN" //nolint:gosec // likewise
	ExpiredAPIKey   Reason = "API_KEY_EXPIRED" //nolint:gosec // likewise
	NoServiceToken  Reason = "SERVICE_TOKEN_MISSING"
	KeysUnavailable Reason = "KEYS_UNAVAILABLE"
	NoRight         Reason = "RIGHT_MISSING"
	BadUser         Reason = "USER_INVALID"
	ForeignOrigin   Reason = "ORIGIN_NOT_ALLOWED"
	RefusedByHook   Reason = "HOOK_REFUSED"
	HookBusy        Reason = "HOOK_BUSY"
	HookUnavailable Reason = "HOOK_UNAVAILABLE"
)

func (e *DeniedError) Error() string { return e.Msg }

// Refusal returns the HTTP status and the text of a DeniedError, and of any other error
// those of something that is not allowed.
func Refusal(err error) (status int, msg string) {
	var denied *DeniedError
	if errors.As(err, &denied) {
		return denied.Status, denied.Msg
	}
	return http.StatusForbidden, "not allowed"
}

// authorBytes is the size of what the store keeps of an author.
const authorBytes = 8

// nobody is the author of messages that are published without a name.
var nobody = make([]byte, authorBytes)

// Identity is a caller: its name, its rights, and until when they hold. It does not
// change.
type Identity struct {
	name   string
	rights Rights
	author []byte
	// It is an API key, not a user.
	key bool
	// The user that it is the author for; "": itself.
	actsFor string
	expires time.Time
	known   bool
	service bool
	window  time.Duration
}

// Name returns the subject of the token or the name of the API key; "" for a caller
// without a credential. It may appear in logs.
func (id *Identity) Name() string { return id.name }

// Known reports whether the caller presented a credential.
func (id *Identity) Known() bool { return id.known }

// Service reports whether the caller is a service of ours.
func (id *Identity) Service() bool { return id.service }

// Expires returns when the credential ends, including the leeway; zero: never.
func (id *Identity) Expires() time.Time { return id.expires }

// Author returns the author that the history service keeps with a message: 8 bytes,
// or none if access is not checked.
func (id *Identity) Author() []byte { return id.author }

// By returns the name that members see with what the caller publishes and changes; none
// without access control, without a name, and for services of ours.
func (id *Identity) By() stream.Author {
	switch {
	case id.actsFor != "":
		return stream.Author{Name: id.actsFor}
	case id.service:
		return stream.Author{}
	default:
		return stream.Author{Name: id.name, Key: id.key}
	}
}

// ActsFor returns the user of ActAs; "" for a caller that acts for itself.
func (id *Identity) ActsFor() string { return id.actsFor }

// ActAs returns the caller as it acts for a user, who becomes the author, also where
// messages of one's own may be recalled. Name, rights and limits stay the caller's. Its
// error is a *DeniedError.
func (id *Identity) ActAs(user string) (*Identity, error) {
	if !isUserName(user) {
		return nil, &DeniedError{Status: http.StatusBadRequest, Reason: BadUser, Msg: "the user to act for must have 1 to 256 bytes of UTF-8"}
	}
	if !id.rights.actAs.includes(user) {
		return nil, id.refuse("you may not act for this user", "act_as")
	}
	other := *id
	other.actsFor, other.author = user, authorOf("user", user)
	return &other, nil
}

// JoinsAny reports whether the caller may join some group, and thus the lobby.
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
	return id.refuse("you may not "+verbs[a]+" this group", grants[a])
}

// ReadsAny returns nil if the caller may read the history of some group, or a *DeniedError.
func (id *Identity) ReadsAny() error {
	if len(id.rights.Read) > 0 {
		return nil
	}
	return id.refuse("you may not read the history of any group", grants[Read])
}

// PublishesAny returns nil if the caller may publish to some group, or a *DeniedError.
func (id *Identity) PublishesAny() error {
	if len(id.rights.Publish) > 0 {
		return nil
	}
	return id.refuse("you may not publish to any group", grants[Publish])
}

// RecallsAny returns nil if the caller may recall messages of some group, or a *DeniedError.
func (id *Identity) RecallsAny() error {
	if len(id.rights.RecallAny) > 0 || len(id.rights.RecallOwn) > 0 && id.named() {
		return nil
	}
	return id.refuse("you may not recall messages of any group", "recall")
}

// MayAny returns nil if the caller may join, publish to or read some group, or a
// *DeniedError.
func (id *Identity) MayAny() error {
	if len(id.rights.Join)+len(id.rights.Publish)+len(id.rights.Read) > 0 {
		return nil
	}
	return id.refuse("you may not join any group", grants[Join])
}

// MayAdminister returns nil if the caller may administer some group, or a *DeniedError.
func (id *Identity) MayAdminister() error {
	if len(id.rights.Admin) > 0 {
		return nil
	}
	return id.refuse("you may not administer", grants[Admin])
}

// named reports whether the caller can have messages of its own.
func (id *Identity) named() bool { return id.known && !bytes.Equal(id.author, nobody) }

// refuse returns a *DeniedError that names the missing right of docs/protocol.md, section 9.
func (id *Identity) refuse(msg, right string) error {
	if !id.known {
		return &DeniedError{Status: http.StatusUnauthorized, Reason: NoCredential, Msg: msg + " without a token"}
	}
	return &DeniedError{Status: http.StatusForbidden, Reason: NoRight, Msg: msg + ": the credential lacks the right " + right}
}

// Limit says which messages of a group may be recalled.
type Limit struct {
	// Only those of this author, 8 bytes; none: of any author.
	Author []byte
	// Only those stored within the window of the group, which is this time unless the
	// group has one of its own; 0: at any time.
	Windowed bool
	Within   time.Duration
}

// Recall returns which messages of a group the caller may recall, or a *DeniedError.
// The recall window does not limit callers that were granted "any".
func (id *Identity) Recall(g group.Name) (Limit, error) {
	switch {
	case id.rights.RecallAny.Match(g) && id.known:
		return Limit{}, nil
	case id.rights.RecallAny.Match(g):
		return Limit{Windowed: true, Within: id.window}, nil
	case id.rights.RecallOwn.Match(g) && id.named():
		return Limit{Author: id.author, Windowed: true, Within: id.window}, nil
	}
	if id.rights.RecallOwn.Match(g) && id.known {
		return Limit{}, &DeniedError{Status: http.StatusForbidden, Reason: NoRight, Msg: "you may recall your own messages only, and have none: the token lacks sub"}
	}
	return Limit{}, id.refuse("you may not recall messages of this group", "recall")
}

// newOpen returns the identity of all callers if access is not checked.
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
		actAs: ActAsGrant{anyUser},
	}}
}

// authorOf returns a digest of a name; nobody if it is empty. Users and API keys of
// one name have different authors.
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

// unidentified has no rights at all.
var unidentified = &Identity{}

// FromContext returns the caller of a request; one without any rights if it was not
// identified.
func FromContext(ctx context.Context) *Identity {
	if id, ok := ctx.Value(contextKey{}).(*Identity); ok {
		return id
	}
	return unidentified
}
