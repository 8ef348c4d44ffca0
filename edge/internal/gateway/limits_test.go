package gateway

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// An older history service knows Cancel only, which has no limits.
func TestLimitedRecallIsNotDoneByAServiceThatKnowsNoLimits(t *testing.T) {
	f := NewForwarder(serve(t, &historyService{}))
	authorizer, err := access.New(access.Config{RecallWindow: time.Minute}, nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := authorizer.Identify(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Cancel(access.NewContext(t.Context(), id), &historyv1.CancelRequest{GroupName: "/r", Uuid: "u"})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
}
