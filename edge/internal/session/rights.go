package session

import (
	"time"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

var errExpired = &ws.CloseError{Code: packet.CloseExpired, Reason: "token expired"}

// expire ends the session when its member's token expires. The member comes back with a
// new token, and resumes with ?after=.
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

// deny answers with command 7 what package access refused.
func (c *session) deny(uuid string, err error) {
	code, why := access.Refusal(err)
	c.refuse(uuid, code, why)
}
