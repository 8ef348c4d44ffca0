package historyapi

import (
	"context"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// GetHistory implements historyv1.HistoryServiceServer.
func (s *Service) GetHistory(ctx context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
	g, err := rpc.ParseGroup(r.GetGroupName())
	if err != nil {
		return nil, err
	}
	if err := mayDo(ctx, access.Read, g); err != nil {
		return nil, err
	}
	q, err := queryOf(r)
	if err != nil {
		return nil, err
	}
	page, err := s.readPage(ctx, g, q)
	if err != nil {
		return nil, s.status(ctx, err)
	}
	resp := &historyv1.GetHistoryResponse{
		Code: 200, Position: r.GetPosition(), Data: page.Texts, Etag: page.Version, NotModified: page.Unmodified,
		Meta: metaOf(page.Meta),
	}
	if page.At != nil {
		resp.StreamPosition = page.At.Text(g)
	}
	if page.More {
		next := int32(page.Next)
		resp.Next = &next
	}
	return resp, nil
}

// encodedMeta is the size of the largest MessageMeta in a response, bytes.
const encodedMeta = 176

func metaOf(all []history.Meta) []*historyv1.MessageMeta {
	meta, messages := make([]*historyv1.MessageMeta, len(all)), make([]historyv1.MessageMeta, len(all))
	for i := range all {
		m := &messages[i]
		m.Seq, m.At = all[i].Seq, all[i].At
		m.By, m.Key = all[i].By.Names()
		meta[i] = m
	}
	return meta
}

func queryOf(r *historyv1.GetHistoryRequest) (history.Query, error) {
	q := history.Query{
		Position: int(r.GetPosition()), Size: history.DefaultPageSize,
		Before: r.GetBefore(), After: r.GetAfter(), MaxBytes: int(r.GetMaxBytes()),
		Versioned: r.IfNoneMatch != nil, Known: r.GetIfNoneMatch(), Meta: r.GetMeta(),
	}
	if r.Size != nil {
		q.Size = int(r.GetSize())
	}
	switch {
	case q.Size < 0 || q.Size > history.MaxPageSize:
		return q, rpc.BadField("size", "must be 0 to 10000")
	case q.MaxBytes < 0 || q.MaxBytes > history.MaxPageBytes:
		return q, rpc.BadField("max_bytes", "must be 0 to 8388608")
	case q.Before != "" && q.After != "":
		return q, rpc.BadField("after", "cannot be combined with before")
	case q.Position != 0 && (q.Before != "" || q.After != ""):
		return q, rpc.BadField("position", "cannot be combined with before or after")
	}
	if q.MaxBytes == 0 {
		q.MaxBytes = history.DefaultPageBytes
		if q.Meta {
			q.MaxBytes -= q.Size * encodedMeta
		}
	}
	if err := rpc.CheckOptionalUUID("before", q.Before); err != nil {
		return q, err
	}
	return q, rpc.CheckOptionalUUID("after", q.After)
}

// Cancel implements historyv1.HistoryServiceServer: it recalls a message.
func (s *Service) Cancel(ctx context.Context, r *historyv1.CancelRequest) (*historyv1.CancelResponse, error) {
	g, err := rpc.ParseGroup(r.GetGroupName())
	if err != nil {
		return nil, err
	}
	if err := rpc.CheckUUID("uuid", r.GetUuid()); err != nil {
		return nil, err
	}
	limit, err := s.recallLimit(ctx, g)
	if err != nil {
		return nil, err
	}
	if err := s.store.Recall(ctx, g, r.GetUuid(), limit, access.FromContext(ctx).By()); err != nil {
		return nil, s.status(ctx, err)
	}
	return &historyv1.CancelResponse{Code: 200, Msg: "recalled"}, nil
}
