// Package group holds the rules for group names (docs/protocol.md, section 1).
package group

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Name is the name of a group: a path that Parse has accepted.
type Name string

// MaxLen is the length of the longest name, in bytes.
const MaxLen = 512

// Names with a meaning of their own.
const (
	// Lobby is where a connection waits for its "join:NAME".
	Lobby Name = "/"
	// Timer is the clock: only the server speaks there.
	Timer Name = "/timer"
)

// Why Parse refuses a name. The texts are for the client.
var (
	ErrNoSlash  = errors.New("a group name begins with a slash")
	ErrLength   = errors.New("a group name has 1 to 512 bytes")
	ErrUTF8     = errors.New("a group name is valid UTF-8")
	ErrControl  = errors.New("a group name has no control characters")
	ErrBrace    = errors.New("a group name has no braces")
	ErrReserved = errors.New("paths under /__/ and /__status are the server's own")
)

// Parse checks a decoded path. It accepts Lobby and Timer, which are groups
// only in part: see Name.Publishable.
func Parse(s string) (Name, error) {
	if s == "" || len(s) > MaxLen {
		return "", ErrLength
	}
	if s[0] != '/' {
		return "", ErrNoSlash
	}
	if !utf8.ValidString(s) {
		return "", ErrUTF8
	}
	for _, r := range s {
		switch {
		case r < 0x20 || r >= 0x7f && r < 0xa0:
			return "", ErrControl
		case r == '{' || r == '}':
			return "", ErrBrace
		}
	}
	if Reserved(s) {
		return "", ErrReserved
	}
	return Name(s), nil
}

// Reserved reports whether a path is the server's own, never a group.
func Reserved(path string) bool {
	return path == "/__status" || strings.HasPrefix(path, "/__/")
}

// Publishable reports whether packets can be sent to the group and kept by it:
// the lobby and the timer take none.
func (n Name) Publishable() bool { return n != Lobby && n != Timer }
