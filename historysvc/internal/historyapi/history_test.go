package historyapi

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

func TestTheEncodingOfADefaultPageFitsInto4MiB(t *testing.T) {
	for _, n := range []int{1, 128, history.MaxPageSize} {
		texts := slices.Repeat([]string{strings.Repeat("x", history.DefaultPageBytes/n)}, n)
		next := int32(-1)
		page := &historyv1.GetHistoryResponse{Code: 200, Position: -1, Data: texts, Next: &next, Etag: strings.Repeat("x", 100)}
		if size := proto.Size(page); size > 4<<20 {
			t.Errorf("%d texts: %d bytes", n, size)
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
