package gotapirpc

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc/status"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/clients/go/internal/batch"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// PublishBatch publishes packets in one call; see gotapi.Client.PublishBatch. It gives data
// packets without uuid a key, so that they are stored once, too.
func (c *Client) PublishBatch(ctx context.Context, packets []gotapi.Outgoing) []gotapi.BatchResult {
	results := make([]gotapi.BatchResult, len(packets))
	requests := make([]*historyv1.PublishRequest, len(packets))
	idempotent := make([]bool, len(packets))
	for i, one := range packets {
		p := packet.Classify(one.Packet)
		requests[i] = &historyv1.PublishRequest{GroupName: one.Group, Packet: one.Packet}
		if idempotent[i] = p.Kind == packet.Data; idempotent[i] && p.UUID == "" {
			requests[i].IdempotencyKey = rand.Text()
		}
	}
	var call error // of the last call as a whole
	s := batch.Sender{
		Send: func(ctx context.Context, items []int) (errs []error) {
			errs, call = c.sendBatch(ctx, requests, results, items)
			return errs
		},
		MayRetry: func(i int, err error) bool {
			if call != nil {
				return mayRetry(status.Convert(call), idempotent[i])
			}
			switch gotapi.CodeOf(err) {
			case http.StatusTooManyRequests, http.StatusServiceUnavailable:
				return true
			case http.StatusGatewayTimeout, http.StatusInternalServerError:
				return idempotent[i]
			}
			return false
		},
		Delay: c.delay,
	}
	for i, err := range s.Run(ctx, len(packets)) {
		results[i].Err = err
	}
	return results
}

// sendBatch makes some of requests in one call. Each result is written to its place in
// results. call is the error of the call as a whole.
func (c *Client) sendBatch(ctx context.Context, requests []*historyv1.PublishRequest, results []gotapi.BatchResult, items []int) (errs []error, call error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request := &historyv1.PublishBatchRequest{}
	for _, i := range items {
		request.Publishes = append(request.Publishes, requests[i])
	}
	answer, call := c.history.PublishBatch(ctx, request)
	if call == nil && len(answer.GetResults()) != len(items) {
		call = fmt.Errorf("the answer has %d results to %d packets", len(answer.GetResults()), len(items))
	}
	errs = make([]error, len(items))
	for k, i := range items {
		if call != nil {
			errs[k] = toError(call)
			continue
		}
		r := answer.GetResults()[k]
		if r.GetCode() != http.StatusOK {
			errs[k] = &gotapi.Error{Code: int(r.GetCode()), Msg: r.GetMsg(), RetryAfter: time.Duration(r.GetRetryAfterMs()) * time.Millisecond}
			continue
		}
		results[i].Published = published(r)
	}
	return errs, call
}
