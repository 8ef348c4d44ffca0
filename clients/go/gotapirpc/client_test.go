package gotapirpc

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/internal/backoff"
)

func TestPublishIsRepeatedOnlyIfThatCannotDoItTwice(t *testing.T) {
	for _, tt := range []struct {
		code   codes.Code
		reason string
		// May a publish go out again that is stored once, and any other?
		keyed, other bool
	}{
		{codes.Unavailable, "STORE_UNAVAILABLE", true, true},
		{codes.Unavailable, "", true, false}, // a broken connection
		{codes.DeadlineExceeded, "OUTCOME_UNKNOWN", true, false},
		{codes.Internal, "INTERNAL", true, false},
		{codes.ResourceExhausted, "BUSY", true, true},
		{codes.ResourceExhausted, "", false, false}, // larger than any message may be
		{codes.InvalidArgument, "TOO_LARGE", false, false},
		{codes.PermissionDenied, "RIGHT_MISSING", false, false},
		{codes.Unknown, "", false, false},
	} {
		s := status.New(tt.code, "why")
		if tt.reason != "" {
			s, _ = s.WithDetails(&errdetails.ErrorInfo{Domain: "gotapi", Reason: tt.reason})
		}
		if keyed, other := mayRetry(s, true), mayRetry(s, false); keyed != tt.keyed || other != tt.other {
			t.Errorf("%v, reason %q: again %v and %v, want %v and %v", tt.code, tt.reason, keyed, other, tt.keyed, tt.other)
		}
	}
}

func TestARetryWaitsForAsLongAsTheServiceAsks(t *testing.T) {
	c := &Client{backoff: backoff.Policy{Min: time.Millisecond, Max: time.Millisecond}}
	for asked, want := range map[time.Duration]time.Duration{3 * time.Second: 3 * time.Second, time.Hour: maxRetryDelay} {
		s, err := status.New(codes.Unavailable, "why").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(asked)})
		if err != nil {
			t.Fatal(err)
		}
		refusal := toError(s.Err())
		if e, ok := errors.AsType[*gotapi.Error](refusal); !ok || e.RetryAfter != want {
			t.Errorf("asked for %v: %#v, want RetryAfter %v", asked, refusal, want)
		}
		if got := c.delay(1, refusal); got != want {
			t.Errorf("asked for %v: the delay is %v, want %v", asked, got, want)
		}
	}
}
