package access

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// Subject is the segment of a pattern that is replaced by the name of the user.
const Subject = "$sub"

// Pattern matches names of groups, segment by segment between slashes:
//
//	/room/9527/      that name, exactly
//	/room/*          one segment after /room/, not empty: /room/1, not /room/1/ nor /room/
//	/room/cs-*/      at most one * in a segment; it matches one character or more
//	/room/**         whatever begins with /room/, as its last segment only
//	/user/$sub/**    $sub, as a whole segment, is the subject of the token
//
// The zero Pattern matches nothing.
type Pattern struct {
	segments []segment
	// More may follow the segments, after a slash.
	rest bool
}

// segment matches prefix, at least one character, suffix; or, without star, prefix.
type segment struct {
	prefix, suffix string
	star           bool
}

// ParsePattern reads a pattern without $sub.
func ParsePattern(text string) (Pattern, error) {
	p, err := compile(text, "")
	if errors.Is(err, errNobody) {
		return Pattern{}, fmt.Errorf("pattern %q: %s has no meaning here", text, Subject)
	}
	return p, err
}

// errNobody: a pattern with $sub does not work for this subject.
var errNobody = errors.New("the subject cannot be part of a pattern")

// compile reads a pattern for a subject. A subject that is empty or has a slash
// cannot take the place of $sub: "a/b" would get into what belongs to "a".
func compile(text, subject string) (Pattern, error) {
	if _, err := group.Parse(text); err != nil {
		return Pattern{}, fmt.Errorf("pattern %q: %w", text, err)
	}
	var p Pattern
	parts := strings.Split(text[1:], "/")
	if last := len(parts) - 1; parts[last] == "**" {
		p.rest = true
		parts = parts[:last]
	}
	p.segments = make([]segment, 0, len(parts))
	for _, part := range parts {
		switch {
		case part == Subject:
			if subject == "" || strings.Contains(subject, "/") {
				return Pattern{}, errNobody
			}
			p.segments = append(p.segments, segment{prefix: subject})
			continue
		case strings.Contains(part, Subject):
			return Pattern{}, fmt.Errorf("pattern %q: %s must be a whole segment", text, Subject)
		case strings.Contains(part, "**"):
			return Pattern{}, fmt.Errorf("pattern %q: ** must be the whole last segment", text)
		case strings.Count(part, "*") > 1:
			return Pattern{}, fmt.Errorf("pattern %q: a segment has at most one *", text)
		}
		prefix, suffix, star := strings.Cut(part, "*")
		p.segments = append(p.segments, segment{prefix, suffix, star})
	}
	return p, nil
}

func (s *segment) match(part string) bool {
	if !s.star {
		return part == s.prefix
	}
	return len(part) > len(s.prefix)+len(s.suffix) &&
		strings.HasPrefix(part, s.prefix) && strings.HasSuffix(part, s.suffix)
}

// Match reports whether the pattern matches a name. It allocates nothing.
func (p *Pattern) Match(name group.Name) bool {
	if name == "" || len(p.segments) == 0 && !p.rest {
		return false
	}
	left, more := string(name[1:]), true
	for i := range p.segments {
		if !more {
			return false
		}
		var part string
		part, left, more = strings.Cut(left, "/")
		if !p.segments[i].match(part) {
			return false
		}
	}
	return more == p.rest
}

// Patterns match what any of them does. None match nothing.
type Patterns []Pattern

// Match reports whether any pattern matches a name.
func (all Patterns) Match(name group.Name) bool {
	for i := range all {
		if all[i].Match(name) {
			return true
		}
	}
	return false
}

// everything is the pattern /**.
var everything = Patterns{{rest: true}}
