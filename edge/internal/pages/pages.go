package pages

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// DefaultBytes is the budget unless the operator says otherwise.
const DefaultBytes = 32 << 20

// defaultSize is the size of a page when a request does not say (docs/protocol.md,
// section 4).
const defaultSize = 1000

// maxStale is how many times in a row a page may turn out to have changed. After that
// it is asked for without its version, which saves a round trip to Redis where messages
// come faster than readers.
const maxStale = 2

// Source is where pages come from. Its errors are gRPC statuses.
type Source interface {
	// MayRead returns nil if the caller in the context may read the history of the
	// group.
	MayRead(ctx context.Context, group string) error
	// GetHistory asks the history service, in bounded time.
	GetHistory(ctx context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error)
}

// Pages answers requests for pages of history.
type Pages struct {
	source Source
	encode func(r *historyv1.GetHistoryResponse, meta bool) []byte
	cache  *cache
	calls  *flights
	stats  *metrics
}

// New returns Pages. encode makes the body of a response to a request with meta or without,
// and must depend on nothing else. budget bounds the pages that are kept, bytes; 0: none are.
func New(source Source, encode func(r *historyv1.GetHistoryResponse, meta bool) []byte, budget int, reg prometheus.Registerer) *Pages {
	p := &Pages{source: source, encode: encode, cache: newCache(budget), calls: newFlights()}
	p.stats = newMetrics(reg, p.cache)
	return p
}

// Get returns the page that r asks for, as it is after Get was called. known is
// the version that the client has, "" if it has none: the page has no Body if it is
// still that, and not kept here. Requests of clients that have the same share calls.
func (p *Pages) Get(ctx context.Context, r *historyv1.GetHistoryRequest, known string) (Page, error) {
	if err := p.source.MayRead(ctx, r.GetGroupName()); err != nil {
		return Page{}, err
	}
	k := keyOf(r)
	page, shared, err := p.calls.do(ctx, flightKey{k, known}, func(ctx context.Context) (Page, error) {
		return p.ask(ctx, k, r, known)
	})
	if shared {
		p.stats.shared.Inc()
	}
	return page, err
}

// Expect returns about what fetching the page that r asks for takes of the memory,
// bytes.
func (p *Pages) Expect(r *historyv1.GetHistoryRequest) int64 {
	k := keyOf(r)
	if kept, _, ok := p.cache.get(k); ok {
		return limit.PageCost(len(kept.Body))
	}
	return limit.FetchCost(int(k.size))
}

// ask gets the page with one call.
func (p *Pages) ask(ctx context.Context, k key, r *historyv1.GetHistoryRequest, known string) (Page, error) {
	kept, stale, ok := p.cache.get(k)
	switch {
	case ok && stale >= maxStale:
		known = ""
	case ok:
		known = kept.Version
	}
	r.IfNoneMatch = &known
	response, err := p.source.GetHistory(ctx, r)
	switch {
	case err != nil:
		return Page{}, err
	case !response.GetNotModified():
		page := Page{Body: p.encode(response, k.meta), Version: response.GetEtag()}
		switch page.Version {
		case "": // of a history service without versions
		case kept.Version:
			p.cache.put(k, page, 0)
		default:
			p.cache.put(k, page, stale+1)
		}
		p.stats.misses.Inc()
		return page, nil
	case known == "":
		return Page{}, status.Error(codes.Internal, "the history service answered a version check that the edge did not request")
	case ok:
		p.cache.confirm(k, known)
		p.stats.hits.Inc()
		return kept, nil
	default:
		p.stats.hits.Inc()
		return Page{Version: known}, nil
	}
}

func keyOf(r *historyv1.GetHistoryRequest) key {
	k := key{group: r.GetGroupName(), position: r.GetPosition(), size: defaultSize, before: r.GetBefore(), after: r.GetAfter(), meta: r.GetMeta()}
	if r.Size != nil {
		k.size = r.GetSize()
	}
	return k
}
