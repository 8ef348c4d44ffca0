package session

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
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
	// Bytes of large pages that wait for slow members, over all sessions. Small
	// ones are not worth counting: the system's own buffers take them.
	maxPageBytes = 128 << 20
	smallPage    = 64 << 10
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
		return // it is ending
	}
	page, held, err := c.fetch(ctx, p.Query)
	if err != nil {
		code, why := refusalOf(err)
		c.refuse(p.UUID, code, why)
		return
	}
	defer c.server.pageBytes.Release(held)
	buf := ws.Reserve(128 + len(p.UUID) + sizeOf(page.GetData()))
	buf = packet.AppendHistory(buf, p.UUID, int(page.GetPosition()), page.GetData())
	_ = c.out.SendAndWait(ctx, ws.Seal(ws.OpText, buf)) // it is ending
}

// sizeOf estimates the texts as JSON strings.
func sizeOf(texts []string) int {
	n := 0
	for _, t := range texts {
		n += len(t) + len(t)/4 + 8
	}
	return n
}

// fetch gets the page when it is this query's turn. held is what must be given
// back to pageBytes when the page is gone.
func (c *session) fetch(ctx context.Context, q packet.QueryArgs) (page *historyv1.GetHistoryResponse, held int64, err error) {
	ctx, cancel := context.WithTimeout(access.NewContext(ctx, c.by), queryTimeout)
	defer cancel()
	select {
	case c.server.queries <- struct{}{}:
		defer func() { <-c.server.queries }()
	case <-ctx.Done():
		return nil, 0, errTooManyQueries
	}
	size := int32(q.Size)
	page, err = c.server.history.GetHistory(ctx, &historyv1.GetHistoryRequest{
		GroupName: string(c.group), Position: int32(q.Offset), Size: &size, After: q.After, Before: q.Before,
	})
	if err != nil {
		return nil, 0, err
	}
	if held = int64(sizeOf(page.GetData())); held <= smallPage {
		return page, 0, nil
	}
	held = min(held, maxPageBytes)
	if c.server.pageBytes.Acquire(ctx, held) != nil {
		return nil, 0, errTooManyQueries
	}
	return page, held, nil
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
