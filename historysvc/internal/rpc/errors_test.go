package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

func TestEveryErrorHasAStatusAndAnOutcome(t *testing.T) {
	for _, tt := range []struct {
		err     error
		code    codes.Code
		outcome relayv1.Outcome
	}{
		{history.ErrUnavailable, codes.Unavailable, relayv1.Outcome_OUTCOME_UNAVAILABLE},
		{history.ErrUnknown, codes.DeadlineExceeded, relayv1.Outcome_OUTCOME_UNKNOWN},
		{history.ErrBusy, codes.ResourceExhausted, relayv1.Outcome_OUTCOME_BUSY},
		{history.ErrNotFound, codes.NotFound, relayv1.Outcome_OUTCOME_INVALID},
		{history.ErrWrongType, codes.FailedPrecondition, relayv1.Outcome_OUTCOME_INVALID},
		{context.DeadlineExceeded, codes.DeadlineExceeded, relayv1.Outcome_OUTCOME_UNKNOWN},
		{context.Canceled, codes.Canceled, relayv1.Outcome_OUTCOME_UNKNOWN},
	} {
		var logged bytes.Buffer
		log := slog.New(slog.NewTextHandler(&logged, nil))
		wrapped := fmt.Errorf("eval 10.0.0.1:6379: %w", tt.err)
		got := status.Convert(Status(t.Context(), log, wrapped))
		if info := grpcstatus.InfoOf(got); info.GetReason() == "" {
			t.Errorf("status of %v: no reason", tt.err)
		}
		if got.Code() != tt.code || got.Message() != tt.err.Error() {
			t.Errorf("status of %v: %v, want %v with the sentinel's text", tt.err, got, tt.code)
		}
		outcome, reason := Outcome(log, &history.Receipt{Err: wrapped})
		if outcome != tt.outcome || reason != tt.err.Error() {
			t.Errorf("outcome of %v: %v %q, want %v with the sentinel's text", tt.err, outcome, reason, tt.outcome)
		}
		if logged.Len() > 0 {
			t.Errorf("%v was logged: %s", tt.err, &logged)
		}
	}
}

func TestUnknownErrorIsInternalAndItsTextStaysInTheLog(t *testing.T) {
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	secret := errors.New("dial 10.0.0.1:6379")
	got := status.Convert(Status(t.Context(), log, secret))
	if got.Code() != codes.Internal || strings.Contains(got.Message(), "10.0.0.1") {
		t.Errorf("status: %v, want Internal without the text", got)
	}
	outcome, reason := Outcome(log, &history.Receipt{Err: secret})
	if outcome != relayv1.Outcome_OUTCOME_UNKNOWN || strings.Contains(reason, "10.0.0.1") {
		t.Errorf("outcome: %v %q, want UNKNOWN without the text", outcome, reason)
	}
	if n := strings.Count(logged.String(), "10.0.0.1"); n != 2 {
		t.Errorf("the text was logged %d times, want 2: %s", n, &logged)
	}
}

func TestStatusStaysAsItIs(t *testing.T) {
	want := status.Error(codes.PermissionDenied, "no")
	if got := Status(t.Context(), slog.New(slog.DiscardHandler), want); !errors.Is(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Status(t.Context(), slog.New(slog.DiscardHandler), nil); got != nil {
		t.Errorf("got %v, want nil", got)
	}
}

func TestBadFieldIsNamedInTextAndDetails(t *testing.T) {
	got := status.Convert(BadField("size", "must be 0 to 10000"))
	if got.Code() != codes.InvalidArgument || got.Message() != "size: must be 0 to 10000" {
		t.Errorf("got %v", got)
	}
	details, ok := got.Details()[0].(*errdetails.BadRequest)
	if !ok || details.GetFieldViolations()[0].GetField() != "size" {
		t.Errorf("details: %v", got.Details())
	}
}
