package session

import (
	"io"
	"slices"
	"testing"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

func TestEveryEndHasItsReason(t *testing.T) {
	for _, tt := range []struct {
		cause error
		want  end
		code  int
	}{
		{ws.ErrSlowConsumer, endSlowConsumer, 1013},
		{ws.ErrGone, endPeerGone, 0},
		{io.ErrUnexpectedEOF, endPeerGone, 0},
		{errGoingAway, endGoingAway, 1001},
		{errBadJoin, endPolicy, 1008},
		{&ws.PeerClosedError{Code: 1001}, endPeerClosed, 1001},
		{&ws.CloseError{Code: packet.CloseTooBig}, endTooBig, 1009},
		{&ws.CloseError{Code: packet.CloseServiceRestart}, endLost, 1012},
		{&ws.CloseError{Code: packet.CloseTryAgainLater, Reason: "the group is unavailable now"}, endTryAgain, 1013},
		{errExpired, endExpired, errExpired.Code},
		{&ws.CloseError{Code: 4000}, endOther, 4000},
	} {
		if got := endOf(tt.cause); got != tt.want {
			t.Errorf("%v: got reason %s, want %s", tt.cause, got, tt.want)
		}
		if got := code(tt.cause); got != tt.code {
			t.Errorf("%v: got code %d, want %d", tt.cause, got, tt.code)
		}
	}
}

func TestEveryReasonIsCounted(t *testing.T) {
	for code, e := range closeEnds {
		if !slices.Contains(ends, e) {
			t.Errorf("code %d: reason %s has no counter", code, e)
		}
	}
}
