package grpcstatus_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/grpcstatus"
)

func TestRefusalsHaveTheirCodeAndText(t *testing.T) {
	for httpStatus, want := range map[int]codes.Code{
		http.StatusUnauthorized:       codes.Unauthenticated,
		http.StatusForbidden:          codes.PermissionDenied,
		http.StatusTooManyRequests:    codes.ResourceExhausted,
		http.StatusServiceUnavailable: codes.Unavailable,
		http.StatusTeapot:             codes.PermissionDenied,
	} {
		err := grpcstatus.Of(fmt.Errorf("wrapped: %w", &access.DeniedError{Status: httpStatus, Reason: access.ExpiredToken, Msg: "why"}))
		s := status.Convert(err)
		if s.Code() != want || s.Message() != "why" || grpcstatus.InfoOf(s).GetReason() != "TOKEN_EXPIRED" {
			t.Errorf("%d: got %v, %v, want %v with the refusal's own text and reason", httpStatus, err, s.Details(), want)
		}
		passes := want == codes.ResourceExhausted || want == codes.Unavailable
		if got := retryDelay(s); (got == grpcstatus.RetryDelay) != passes {
			t.Errorf("%d: to be repeated after %v; passes by waiting: %v", httpStatus, got, passes)
		}
	}
}

func retryDelay(s *status.Status) time.Duration {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func TestGroupIsNamedBesideAllDetails(t *testing.T) {
	s := status.Convert(grpcstatus.InGroup(grpcstatus.Busy("BUSY", "too much"), "/a"))
	info := grpcstatus.InfoOf(s)
	if s.Code() != codes.ResourceExhausted || s.Message() != "group /a: too much" || info.GetReason() != "BUSY" ||
		info.GetMetadata()["group_name"] != "/a" || retryDelay(s) == 0 || len(s.Details()) != 2 {
		t.Errorf("got %v, %v", s, s.Details())
	}
	for _, other := range []error{nil, errors.New("other"), status.Error(codes.Unavailable, "of gRPC")} {
		if got := grpcstatus.InGroup(other, "/a"); got != other { //nolint:errorlint // the very same
			t.Errorf("%v became %v", other, got)
		}
	}
}

func TestOtherErrorsStayAsTheyAre(t *testing.T) {
	other := errors.New("other")
	if got := grpcstatus.Of(other); got != other { //nolint:errorlint // the very same
		t.Errorf("got %v, want %v", got, other)
	}
	if err := grpcstatus.Of(nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}
