package gotapi

import (
	"context"
	"net/http"
	"time"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

// Published is the result of a publish.
type Published struct {
	// Stored reports whether the packet is in the history: a data packet.
	Stored bool
	// UUID is the uuid of a data packet.
	UUID string
	// Duplicate reports whether a message with this uuid was stored before. It is always
	// false on a WebSocket, whose acks do not report it.
	Duplicate bool
	// Seq is the number of the stored message, and At when it was stored; of a duplicate,
	// those of the first copy. Zero if they are unknown. Only gotapirpc and PublishBatch have
	// them.
	Seq uint64
	At  time.Time
}

// Publish posts one packet to all members of a group. It retries a data packet with a uuid
// until the server has stored or refused it, or ctx ends. It retries any other packet only
// if that was certainly not published.
func (c *Client) Publish(ctx context.Context, group string, data []byte) (Published, error) {
	if err := checkGroup(group); err != nil {
		return Published{}, err
	}
	may := certainlyNotDone
	if p := packet.Classify(data); p.Kind == packet.Data && p.UUID != "" {
		may = retryable
	}
	var result struct {
		envelope
		Stored    bool
		UUID      string
		Duplicate bool
	}
	err := c.retry(ctx, request{
		method: http.MethodPost, path: group, body: string(data), contentType: "application/octet-stream",
	}, &result, may)
	if err != nil {
		return Published{}, err
	}
	return Published{Stored: result.Stored, UUID: result.UUID, Duplicate: result.Duplicate}, nil
}
