package main

import (
	"encoding/json"
	"strings"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

// lowPrefix begins every low-level packet.
const lowPrefix = "low "

// parse reads a packet of protocol.md, section 2.
func parse(text string) check.Event {
	var p struct {
		Type    int
		Command int
		UUID    string
		Body    struct {
			Data json.RawMessage
		}
	}
	foreign := check.Event{Kind: check.Foreign, Text: text}
	if strings.HasPrefix(text, lowPrefix) {
		return check.Event{Kind: check.Low, Text: text}
	}
	if json.Unmarshal([]byte(text), &p) != nil {
		return foreign
	}
	switch {
	case p.Type == 2:
		return check.Event{Kind: check.Got, UUID: p.UUID, Text: text}
	case p.Type == 1 && p.Command == 1:
		return check.Event{Kind: check.Ack, UUID: p.UUID}
	case p.Type == 1 && p.Command == 2 && isQuery(p.UUID):
		return check.Event{UUID: p.UUID}
	case p.Type == 1 && p.Command == 6:
		return check.Event{Kind: check.Recalled, UUID: p.UUID}
	case p.Type == 1 && p.Command == 7:
		var why struct{ Code int }
		if json.Unmarshal(p.Body.Data, &why) == nil {
			return check.Event{Kind: check.Refused, UUID: p.UUID, Code: why.Code}
		}
	}
	return foreign
}
