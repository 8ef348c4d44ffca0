package session

import (
	"errors"
	"log/slog"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// end is how a connection ended: a value of the label reason.
type end string

// The ends.
const (
	endPeerClosed   end = "peer_closed"    // the peer sent a close frame
	endPeerGone     end = "peer_gone"      // TCP ended, or the peer fell silent
	endGoingAway    end = "going_away"     // this server stops (1001)
	endProtocol     end = "protocol_error" // broken frames (1002)
	endInvalidText  end = "invalid_text"   // text that is not UTF-8 (1007)
	endPolicy       end = "policy"         // the peer did something that is not allowed (1008)
	endTooBig       end = "too_big"        // a message beyond the limit (1009)
	endLost         end = "lost_messages"  // messages were lost: read again (1012)
	endSlowConsumer end = "slow_consumer"  // the peer does not keep up (1013)
	endTryAgain     end = "try_again"      // its group cannot be had now (1013)
	endExpired      end = "expired"        // the peer's token has expired (4401)
	endOther        end = "other"
)

var ends = []end{
	endPeerClosed, endPeerGone, endGoingAway, endProtocol, endInvalidText, endPolicy,
	endTooBig, endLost, endSlowConsumer, endTryAgain, endExpired, endOther,
}

// closeEnds are the ends that our close codes mean.
var closeEnds = map[int]end{
	packet.CloseGoingAway:       endGoingAway,
	packet.CloseProtocolError:   endProtocol,
	packet.CloseInvalidPayload:  endInvalidText,
	packet.ClosePolicyViolation: endPolicy,
	packet.CloseTooBig:          endTooBig,
	packet.CloseServiceRestart:  endLost,
	packet.CloseTryAgainLater:   endTryAgain,
	packet.CloseExpired:         endExpired,
}

func endOf(cause error) end {
	var ours *ws.CloseError
	var theirs *ws.PeerClosedError
	switch {
	case errors.Is(cause, ws.ErrSlowConsumer):
		return endSlowConsumer
	case errors.As(cause, &ours):
		if e, ok := closeEnds[ours.Code]; ok {
			return e
		}
		return endOther
	case errors.As(cause, &theirs):
		return endPeerClosed
	default:
		return endPeerGone // an error of the network
	}
}

// endLevel is the level of the line about an end. Most ends are logged at Info only if
// that was asked for. A slow consumer is always worth a warning: its network is
// too slow, or its group gets too much.
func endLevel(e end, asked bool) slog.Level {
	switch {
	case e == endSlowConsumer:
		return slog.LevelWarn
	case asked:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// refuses reports whether we closed the connection, for something that the peer did or
// that we could not do. Users ask operators about such ends.
func (e end) refuses() bool {
	switch e {
	case endProtocol, endInvalidText, endPolicy, endTooBig, endLost, endSlowConsumer, endTryAgain, endExpired:
		return true
	default:
		return false
	}
}

// code is the close code that was sent or received; 0: none.
func code(cause error) int {
	var ours *ws.CloseError
	var theirs *ws.PeerClosedError
	switch {
	case errors.As(cause, &ours):
		return ours.Code
	case errors.As(cause, &theirs):
		return theirs.Code
	}
	return 0
}
