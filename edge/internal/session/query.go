package session

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/internal/quota"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

const (
	// Pages of history that are fetched at one time, over all sessions.
	maxQueries = 32
	// Queries of one session that wait for their answer, the present one included.
	sessionQueries = 16
	// How long a query may take until its page is there.
	queryTimeout = 5 * time.Second
)

// query answers command 2. A session's queries are answered one after another,
// each page only when the one before it has been written: so the pages that
// wait are bounded, too.
func (c *session) query(p packet.Packet) {
	c.mu.Lock()
	if len(c.queries) == sessionQueries {
		c.mu.Unlock()
		c.refuse(p.UUID, http.StatusTooManyRequests, "too many queries wait")
		return
	}
	c.queries = append(c.queries, p)
	first := len(c.queries) == 1
	c.mu.Unlock()
	if first {
		c.do(c.answerQueries)
	}
}

// answerQueries answers until no query waits.
func (c *session) answerQueries(ctx context.Context) {
	for {
		c.mu.Lock()
		p := c.queries[0]
		c.mu.Unlock()
		c.answerQuery(ctx, p)
		c.mu.Lock()
		c.queries = c.queries[1:]
		done := len(c.queries) == 0
		if done {
			c.queries = nil
		}
		c.mu.Unlock()
		if done {
			return
		}
	}
}

func (c *session) answerQuery(ctx context.Context, p packet.Packet) {
	if c.out.Await(ctx) != nil {
		return // the connection is ending
	}
	frame, held, err := c.fetch(ctx, p)
	if err != nil {
		code, why := refusalOf(err)
		c.refuse(p.UUID, code, why)
		return
	}
	defer held.Release()
	_ = c.out.SendAndWait(ctx, frame) // the connection may be ending
}

// sizeOf estimates the texts as JSON strings.
func sizeOf(texts []string) int {
	n := 0
	for _, t := range texts {
		n += len(t) + len(t)/4 + 8
	}
	return n
}

// fetch gets the page once few enough others are being fetched. held is what must be
// released when it has been sent.
func (c *session) fetch(ctx context.Context, p packet.Packet) (page ws.Frame, held quota.Held, err error) {
	ctx, cancel := context.WithTimeout(access.NewContext(ctx, c.by), queryTimeout)
	defer cancel()
	f, err := c.beginFetch(ctx, p.Query.Size)
	if err != nil {
		return page, held, err
	}
	defer f.end()
	size := int32(p.Query.Size)
	response, err := c.server.history.GetHistory(ctx, &historyv1.GetHistoryRequest{
		GroupName: string(c.group), Position: int32(p.Query.Offset), Size: &size, MaxBytes: int32(p.Query.Bytes),
		After: p.Query.After, Before: p.Query.Before,
	})
	if err != nil {
		return page, held, err
	}
	bytes := sizeOf(response.GetData())
	if held, err = f.hold(ctx, bytes); err != nil {
		return page, held, err
	}
	buf := ws.Reserve(128 + len(p.UUID) + bytes)
	buf = packet.AppendHistory(buf, p.UUID, int(response.GetPosition()), response.GetData(), nextOf(p, response))
	return ws.Seal(ws.OpText, buf), held, nil
}

// pageFetch is what fetching a page takes of the budget.
type pageFetch struct {
	client       string
	budget       *limit.Budget
	place, bytes quota.Held
}

// beginFetch waits until few enough pages are being fetched, for one of so many messages.
func (c *connection) beginFetch(ctx context.Context, messages int) (f pageFetch, err error) {
	f.client, f.budget = c.permit.limits.Key(), c.server.opts.Budget
	var ok bool
	if f.place, ok = c.server.queries.Acquire(ctx, f.client, 1, queryTimeout); !ok {
		return f, errTooManyQueries
	}
	if f.bytes, ok = f.budget.Fetches.Acquire(ctx, f.client, limit.FetchCost(messages), queryTimeout); !ok {
		f.place.Release()
		return f, errTooManyQueries
	}
	return f, nil
}

// hold returns what must be released when the page, which has so many bytes, was sent.
func (f *pageFetch) hold(ctx context.Context, bytes int) (held quota.Held, err error) {
	if bytes <= limit.SmallPage {
		return held, nil
	}
	f.bytes.Shrink(limit.PageCost(bytes))
	held, ok := f.budget.Pages.Acquire(ctx, f.client, int64(bytes), queryTimeout)
	if !ok {
		return held, errTooManyQueries
	}
	return held, nil
}

// end ends the fetch.
func (f *pageFetch) end() {
	f.bytes.Release()
	f.place.Release()
}

// nextOf returns where the page after this one begins, for those who did not ask by number
// alone: others know no such key, and when a page of theirs is short.
func nextOf(p packet.Packet, r *historyv1.GetHistoryResponse) *int32 {
	if p.Query.Bytes == 0 {
		return nil
	}
	return r.Next
}

var errTooManyQueries = status.Error(codes.ResourceExhausted, "too many queries")

// refusalOf is the code and text of a failed query, for the client.
func refusalOf(err error) (code int, why string) {
	s := status.Convert(err)
	switch s.Code() {
	case codes.InvalidArgument, codes.FailedPrecondition:
		return http.StatusBadRequest, s.Message()
	case codes.Unauthenticated:
		return http.StatusUnauthorized, s.Message()
	case codes.PermissionDenied:
		return http.StatusForbidden, s.Message()
	case codes.NotFound:
		return http.StatusNotFound, s.Message()
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests, s.Message()
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout, "the history did not answer in time"
	case codes.Unavailable:
		return http.StatusServiceUnavailable, "the history cannot be reached"
	default:
		return http.StatusInternalServerError, "the history cannot be read"
	}
}
