package session

import (
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

// afterOf returns the uuid in a query ?after=, after which a member resumes; "": it
// begins now. A doubtful one is an error: the member would miss messages, or get some
// twice, and not know. Other parameters are ignored, even broken ones.
func afterOf(query string) (uuid string, err error) {
	found := false
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); err != nil || name != "after" {
			continue
		}
		if found {
			return "", errors.New("after: given more than once")
		}
		found = true
		if uuid, err = url.QueryUnescape(value); err != nil {
			return "", errors.New("after: not percent-encoded")
		}
	}
	if len(uuid) > packet.MaxUUID || !utf8.ValidString(uuid) {
		return "", errors.New("after: must be the uuid of a message")
	}
	return uuid, nil
}
