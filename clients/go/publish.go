package gotapi

import (
	"context"
	"net/http"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

// Published is what became of a packet.
type Published struct {
	// Stored: it is a data packet, and in the history.
	Stored bool
	// UUID of a data packet.
	UUID string
	// Duplicate: a message with this uuid had been stored before. It is false
	// on a WebSocket, where the server does not say.
	Duplicate bool
}

// Publish posts one packet to all members of a group. A data packet with a uuid
// is posted again until the server has stored or refused it, or ctx ends; any
// other packet only when it certainly went nowhere.
func (c *Client) Publish(ctx context.Context, group string, data []byte) (Published, error) {
	if err := checkGroup(group); err != nil {
		return Published{}, err
	}
	may := certainlyNotDone
	if p := packet.Classify(data); p.Kind == packet.Data && p.UUID != "" {
		may = retryable
	}
	var answer struct {
		Stored    bool
		UUID      string
		Duplicate bool
	}
	err := c.again(ctx, request{
		method: http.MethodPost, path: group, body: string(data), contentType: "application/octet-stream",
	}, &answer, may)
	if err != nil {
		return Published{}, err
	}
	return Published{Stored: answer.Stored, UUID: answer.UUID, Duplicate: answer.Duplicate}, nil
}
