package session

import (
	"net/http"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/header"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// StartOf returns where a member of gotapi.v2 or of an event stream begins in a group, by
// what its request says; or why the caller may not join.
func StartOf(by *access.Identity, g group.Name, from string, last header.Integer) (start room.Start, why *header.Refusal) {
	if g == group.Lobby {
		return start, &header.Refusal{Code: http.StatusBadRequest, Msg: "/ is no group: name the one to join"}
	}
	if denied := by.May(access.Join, g); denied != nil {
		return start, denial(denied)
	}
	if from == "" && !last.Set || g == group.Timer {
		return start, nil
	}
	if denied := by.May(access.Read, g); denied != nil {
		return start, denial(denied)
	}
	start.Last = int(last.Value)
	if from != "" {
		at, err := stream.ParsePosition(g, from)
		if err != nil {
			return start, &header.Refusal{Code: http.StatusBadRequest, Msg: "from: not a position"}
		}
		start.From = &at
	}
	return start, nil
}

// denial returns what package access refused, as an answer has it.
func denial(err error) *header.Refusal {
	code, msg := access.Refusal(err)
	return &header.Refusal{Code: code, Msg: msg}
}
