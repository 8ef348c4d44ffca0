package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Grant has rights in their written form: in a token's claim, the policy, or the entry of
// an API key. The pattern language is that of Pattern.
//
//	{"join": ["/room/**"], "publish": ["/room/**"], "read": ["/room/**"], "recall": "own", "admin": false}
type Grant struct {
	// To become a member.
	Join []string `json:"join,omitempty"`
	// To send packets.
	Publish []string `json:"publish,omitempty"`
	// To read the history, also by resuming after a message.
	Read   []string    `json:"read,omitempty"`
	Recall RecallGrant `json:"recall,omitzero"`
	// To set how long a history lives, and to list groups that have members.
	Admin AdminGrant `json:"admin,omitzero"`
	// To be the author for these users: Identity.ActAs.
	ActAs ActAsGrant `json:"act_as,omitzero"`
}

// RecallGrant has the groups in which a caller may recall its own or any messages. Its
// short form, "own" or "any", means the groups of the right to publish.
type RecallGrant struct {
	Own []string `json:"own,omitempty"`
	Any []string `json:"any,omitempty"`
	// The short form; "" is none.
	Short string `json:"-"`
}

// The short forms of a RecallGrant.
const (
	recallOwn  = "own"
	recallAny  = "any"
	recallNone = "none"
)

// AdminGrant is patterns, or true for every group.
type AdminGrant []string

// ActAsGrant is users, or "*" for all of them.
type ActAsGrant []string

// anyUser is every user in an ActAsGrant.
const anyUser = "*"

// maxPatterns bounds the patterns of one grant.
const maxPatterns = 256

// UnmarshalJSON reads "own", "any", "none" or {"own": [...], "any": [...]}.
func (r *RecallGrant) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		if err := json.Unmarshal(b, &r.Short); err != nil {
			return err
		}
		switch r.Short {
		case recallOwn, recallAny:
		case recallNone:
			r.Short = ""
		default:
			return fmt.Errorf(`recall: %q is not "own", "any" or "none"`, r.Short)
		}
		return nil
	}
	type long RecallGrant
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode((*long)(r)); err != nil {
		return fmt.Errorf(`recall: want "own", "any" or {"own": [patterns], "any": [patterns]}: %w`, err)
	}
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (r RecallGrant) MarshalJSON() ([]byte, error) {
	if r.Short != "" {
		return json.Marshal(r.Short)
	}
	type long RecallGrant
	return json.Marshal(long(r))
}

// UnmarshalJSON reads true, false or a list of patterns.
func (a *AdminGrant) UnmarshalJSON(b []byte) error {
	var all bool
	if json.Unmarshal(b, &all) == nil {
		*a = nil
		if all {
			*a = AdminGrant{"/**"}
		}
		return nil
	}
	if err := json.Unmarshal(b, (*[]string)(a)); err != nil {
		return errors.New("admin: want true, false or a list of patterns")
	}
	return nil
}

// UnmarshalJSON reads "*" or a list of users.
func (a *ActAsGrant) UnmarshalJSON(b []byte) error {
	var all string
	if json.Unmarshal(b, &all) == nil {
		if all != anyUser {
			return fmt.Errorf(`act_as: %q is neither "*" nor a list of users`, all)
		}
		*a = ActAsGrant{anyUser}
		return nil
	}
	if err := json.Unmarshal(b, (*[]string)(a)); err != nil {
		return errors.New(`act_as: want "*" or a list of users`)
	}
	return nil
}

// includes reports whether a user is one of them.
func (a ActAsGrant) includes(user string) bool {
	return slices.Contains(a, user) || slices.Contains(a, anyUser)
}

// check returns what is wrong with the list.
func (a ActAsGrant) check() error {
	if len(a) > maxPatterns {
		return fmt.Errorf("act_as: %d users: at most %d are allowed", len(a), maxPatterns)
	}
	for _, user := range a {
		if !isUserName(user) {
			return fmt.Errorf("act_as: %q is no name of a user: want 1 to %d bytes", user, maxNameBytes)
		}
	}
	return nil
}

// isUserName reports whether a token could have this subject.
func isUserName(s string) bool {
	return s != "" && len(s) <= maxNameBytes && utf8.ValidString(s)
}

// Rights are what a caller may do in which groups.
type Rights struct {
	Join, Publish, Read, RecallOwn, RecallAny, Admin Patterns

	actAs ActAsGrant
}

// rightNames are the names of the rights, in the order of lists.
var rightNames = [...]string{"join", "publish", "read", "recall own", "recall any", "admin"}

// lists are the patterns of each right; those of the short form of recall are spelled out.
func (g *Grant) lists() [len(rightNames)][]string {
	own, anyone := g.Recall.Own, g.Recall.Any
	switch g.Recall.Short {
	case recallOwn:
		own = g.Publish
	case recallAny:
		anyone = g.Publish
	}
	return [...][]string{g.Join, g.Publish, g.Read, own, anyone, g.Admin}
}

// PatternRights are the rights that a Grant gives in the groups of one pattern.
type PatternRights struct {
	Pattern string `json:"pattern"`
	// Rights are of "join", "publish", "read", "recall own", "recall any" and "admin".
	Rights []string `json:"rights"`
}

// ByPattern returns the rights of each pattern, in the order in which they are written.
func (g *Grant) ByPattern() []PatternRights {
	var all []PatternRights
	for i, patterns := range g.lists() {
		for _, pattern := range patterns {
			at := slices.IndexFunc(all, func(p PatternRights) bool { return p.Pattern == pattern })
			if at < 0 {
				at, all = len(all), append(all, PatternRights{Pattern: pattern})
			}
			if rights := &all[at].Rights; !slices.Contains(*rights, rightNames[i]) {
				*rights = append(*rights, rightNames[i])
			}
		}
	}
	return all
}

// compile makes rights of a grant for a subject. Patterns that need another
// subject than this one are left out.
func (g *Grant) compile(subject string) (Rights, error) {
	lists := g.lists()
	if err := g.ActAs.check(); err != nil {
		return Rights{}, err
	}
	rights := Rights{actAs: g.ActAs}
	into := [...]*Patterns{
		&rights.Join, &rights.Publish, &rights.Read, &rights.RecallOwn, &rights.RecallAny, &rights.Admin,
	}
	if n := len(slices.Concat(lists[:]...)); n > maxPatterns {
		return Rights{}, fmt.Errorf("%d patterns: at most %d are allowed", n, maxPatterns)
	}
	for i, texts := range lists {
		for _, text := range texts {
			p, err := compile(text, subject)
			switch {
			case errors.Is(err, errNobody):
			case err != nil:
				return Rights{}, err
			default:
				*into[i] = append(*into[i], p)
			}
		}
	}
	return rights, nil
}

// check returns what is wrong with a grant for every subject.
func (g *Grant) check() error {
	_, err := g.compile("anyone")
	return err
}
