package historyapi

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func TestTheEncodingOfADefaultPageFitsInto4MiB(t *testing.T) {
	longest := history.Meta{Seq: math.MaxUint64, At: math.MaxInt64, By: stream.Author{Name: strings.Repeat("x", stream.MaxAuthorName), Key: true}}
	for _, n := range []int{1, 128, history.MaxPageSize} {
		for _, meta := range []bool{false, true} {
			q, err := queryOf(&historyv1.GetHistoryRequest{Size: proto.Int32(int32(n)), Meta: meta})
			if err != nil {
				t.Fatal(err)
			}
			next := int32(-1)
			page := &historyv1.GetHistoryResponse{
				Code: 200, Position: -1, Next: &next, Etag: strings.Repeat("x", 100), StreamPosition: strings.Repeat("x", stream.MaxPositionText),
				Data: slices.Repeat([]string{strings.Repeat("x", q.MaxBytes/n)}, n),
			}
			if meta {
				page.Meta = metaOf(slices.Repeat([]history.Meta{longest}, n))
			}
			if size := proto.Size(page); size > 4<<20 {
				t.Errorf("%d texts, meta %v: %d bytes", n, meta, size)
			}
		}
	}
}

func TestQueriesAreChecked(t *testing.T) {
	for field, r := range map[string]*historyv1.GetHistoryRequest{
		"size":      {Size: proto.Int32(-1)},
		"max_bytes": {MaxBytes: -1},
		"after":     {Before: "a", After: "b", Meta: true},
		"position":  {Position: 1, After: "b", Meta: true},
	} {
		if _, err := queryOf(r); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestACallerThatGivesUpItsPlaceInTheQueueIsNotRefusedAsOneTooMany(t *testing.T) {
	s := New(nil, nil, nil, Options{}, slog.New(slog.DiscardHandler))
	for range maxPageReads {
		if err := s.pageReads.Acquire(t.Context(), "/room/1/"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(access.NewContext(t.Context(), access.System()))
	cancel()
	_, err := s.GetHistory(ctx, &historyv1.GetHistoryRequest{GroupName: "/room/1/"})
	if got := status.Code(err); got != codes.Canceled {
		t.Errorf("got %v, want Canceled", err)
	}
}
