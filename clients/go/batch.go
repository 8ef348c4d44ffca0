package gotapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gotapi/gotapi-ws/clients/go/internal/batch"
	"github.com/gotapi/gotapi-ws/clients/go/internal/timestamp"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// MaxBatch is the largest number of packets in a batch. The server takes up to 4 MiB of them.
const MaxBatch = 1000

// Outgoing is a packet for a group.
type Outgoing struct {
	Group  string
	Packet []byte
}

// BatchResult is the result of one packet of a batch.
type BatchResult struct {
	Published
	// Err is nil if the packet was published.
	Err error
}

// PublishBatch publishes packets in one request, and returns the result of each. Those of
// one group keep their order. As Publish does, it sends what was put off again, until the
// server has published or refused it, or ctx ends.
func (c *Client) PublishBatch(ctx context.Context, packets []Outgoing) []BatchResult {
	results := make([]BatchResult, len(packets))
	s := batch.Sender{
		Send: func(ctx context.Context, items []int) []error { return c.sendBatch(ctx, packets, results, items) },
		MayRetry: func(i int, err error) bool {
			if p := packet.Classify(packets[i].Packet); p.Kind == packet.Data && p.UUID != "" {
				return retryable(err)
			}
			return certainlyNotDone(err)
		},
		Delay: c.delay,
	}
	for i, err := range s.Run(ctx, len(packets)) {
		results[i].Err = err
	}
	return results
}

// batchLine is a line of a batch, as docs/protocol.md, section 3.1, has it.
type batchLine struct {
	Group  string  `json:"group"`
	Packet *string `json:"packet,omitempty"`
	Base64 []byte  `json:"packetBase64,omitempty"`
}

// sendBatch sends some of packets once. Each result is written to its place in results.
func (c *Client) sendBatch(ctx context.Context, packets []Outgoing, results []BatchResult, items []int) []error {
	var body strings.Builder
	encoder := json.NewEncoder(&body)
	for _, i := range items {
		line := batchLine{Group: packets[i].Group}
		if text := string(packets[i].Packet); utf8.ValidString(text) {
			line.Packet = &text
		} else {
			line.Base64 = packets[i].Packet
		}
		_ = encoder.Encode(line) //nolint:errchkjson // strings and bytes can be written
	}
	var answer struct {
		envelope
		Results []struct {
			Code       int
			Msg        string
			RetryAfter int64 // milliseconds
			Stored     bool
			UUID       string
			Duplicate  bool
			Seq        uint64
			At         int64 // milliseconds
		}
	}
	err := c.once(ctx, request{method: http.MethodPost, path: "/__/publish", body: body.String(), contentType: "application/x-ndjson"}, &answer)
	if err == nil && len(answer.Results) != len(items) {
		err = fmt.Errorf("the answer has %d results to %d packets", len(answer.Results), len(items))
	}
	errs := make([]error, len(items))
	for k, i := range items {
		if err != nil {
			errs[k] = err
			continue
		}
		r := answer.Results[k]
		if r.Code != http.StatusOK {
			errs[k] = &Error{Code: r.Code, Msg: r.Msg, RetryAfter: time.Duration(r.RetryAfter) * time.Millisecond}
			continue
		}
		results[i].Published = Published{Stored: r.Stored, UUID: r.UUID, Duplicate: r.Duplicate, Seq: r.Seq, At: timestamp.Time(r.At)}
	}
	return errs
}
