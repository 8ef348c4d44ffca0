package gateway

import (
	"regexp"
	"strings"
)

// weakTag is the entity tag of a version. Weak: other edges, of another release,
// may write the same page in other bytes.
func weakTag(version string) string { return `W/"` + version + `"` }

// condition is the header If-None-Match (RFC 9110, section 13.1.2).
type condition struct {
	// "*": whatever there is.
	any bool
	// The text between the quotes of each tag; weak and strong ones are compared
	// alike.
	tags []string
}

// parseIfNoneMatch reads the lines of the header. Of a header that is malformed,
// as of an absent one, nothing holds: then the client gets the page.
func parseIfNoneMatch(lines []string) condition {
	var c condition
	if len(lines) == 1 && strings.Trim(lines[0], " \t") == "*" {
		return condition{any: true}
	}
	for _, line := range lines {
		tags, ok := parseTags(line)
		if !ok {
			return condition{}
		}
		c.tags = append(c.tags, tags...)
	}
	return c
}

// parseTags reads a list of entity tags, in which elements may be empty.
func parseTags(list string) (tags []string, ok bool) {
	for {
		list = strings.TrimLeft(list, " \t,")
		if list == "" {
			return tags, true
		}
		list = strings.TrimPrefix(list, "W/")
		if list == "" || list[0] != '"' {
			return nil, false
		}
		end := strings.IndexByte(list[1:], '"')
		if end < 0 || !isTag(list[1:1+end]) {
			return nil, false
		}
		tags = append(tags, list[1:1+end])
		list = strings.TrimLeft(list[end+2:], " \t")
		if list != "" && list[0] != ',' {
			return nil, false
		}
	}
}

// isTag reports whether s, which has no quotes, may be between those of a tag:
// printable ASCII without blanks, and bytes from 0x80 on.
func isTag(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// holds reports whether the client has this version. It has "" only if it takes any.
func (c condition) holds(version string) bool {
	if c.any {
		return true
	}
	for _, t := range c.tags {
		if t == version && version != "" {
			return true
		}
	}
	return false
}

// only is the tag if there is just one and it can be a version of ours, else "".
func (c condition) only() string {
	if len(c.tags) == 1 && versionForm.MatchString(c.tags[0]) {
		return c.tags[0]
	}
	return ""
}

// versionForm is what versions look like, roughly. Others need not travel.
var versionForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
