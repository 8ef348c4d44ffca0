package session

import (
	"errors"
	"net/http"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

var errExpired = &ws.CloseError{Code: packet.CloseExpired, Reason: "token expired"}

// expire makes the session end when its member's token does. The member comes back
// with a new token, and goes on where it was with ?after=.
func (c *session) expire() {
	if at := c.by.Expires(); !at.IsZero() {
		c.expiry = time.AfterFunc(time.Until(at), func() { c.out.Close(errExpired) })
	}
}

func (c *session) unexpire() {
	if c.expiry != nil {
		c.expiry.Stop()
	}
}

// deny tells the peer that it is not allowed, with command 7.
func (c *session) deny(uuid string, err error) {
	code, why := http.StatusForbidden, "not allowed"
	var denied *access.DeniedError
	if errors.As(err, &denied) {
		code, why = denied.Status, denied.Msg
	}
	c.refuse(uuid, code, why)
}
