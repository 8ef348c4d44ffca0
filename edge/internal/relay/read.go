package relay

import (
	"context"
	"fmt"
	"math"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Read returns stored events of g after start, oldest first, about a mebibyte
// at most. Its error wraps the gRPC status.
func (c *Client) Read(ctx context.Context, g group.Name, start Start) (Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.ReadTimeout)
	defer cancel()
	r, err := c.rpc.Read(ctx, readRequest(g, start), grpc.WaitForReady(true))
	if err != nil {
		return Batch{}, fmt.Errorf("read the stream of a group: %w", err)
	}
	return Batch{
		Epoch:    stream.Epoch(r.GetEpoch()),
		Events:   decodeEvents(r.GetEvents()),
		Position: decodePosition(r.GetPosition()),
		Gap:      r.GetGap(),
		More:     r.GetMore(),
	}, nil
}

func readRequest(g group.Name, start Start) *relayv1.ReadRequest {
	r := &relayv1.ReadRequest{Group: string(g)}
	switch {
	case start.Newest > 0:
		r.Start = &relayv1.ReadRequest_Newest{Newest: uint32(min(start.Newest, math.MaxInt32))}
	case start.AfterUUID != "":
		r.Start = &relayv1.ReadRequest_AfterUuid{AfterUuid: start.AfterUUID}
	default:
		r.Start = &relayv1.ReadRequest_After{After: encodePosition(&start.After)}
	}
	if start.IfLost != FromOldest {
		r.NewestIfLost = proto.Uint32(uint32(max(0, min(start.IfLost, math.MaxInt32))))
	}
	return r
}
