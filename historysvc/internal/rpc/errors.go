package rpc

import (
	"context"
	"errors"
	"log/slog"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

type errorRow struct {
	err     error
	code    codes.Code
	outcome relayv1.Outcome
}

// errorTable says what callers are told about each error of the store: the
// status, the outcome of a relayed publish, and the sentinel's own text. What
// is wrapped around a sentinel is for the log.
var errorTable = []errorRow{
	{history.ErrUnavailable, codes.Unavailable, relayv1.Outcome_OUTCOME_UNAVAILABLE},
	{history.ErrUnknown, codes.DeadlineExceeded, relayv1.Outcome_OUTCOME_UNKNOWN},
	{history.ErrBusy, codes.ResourceExhausted, relayv1.Outcome_OUTCOME_BUSY},
	{history.ErrNotFound, codes.NotFound, relayv1.Outcome_OUTCOME_INVALID},
	{history.ErrWrongType, codes.FailedPrecondition, relayv1.Outcome_OUTCOME_INVALID},
	{history.ErrNotAuthor, codes.PermissionDenied, relayv1.Outcome_OUTCOME_INVALID},
	{history.ErrTooLate, codes.PermissionDenied, relayv1.Outcome_OUTCOME_INVALID},
	// The caller's own deadline or hang-up: nobody knows what was done.
	{context.DeadlineExceeded, codes.DeadlineExceeded, relayv1.Outcome_OUTCOME_UNKNOWN},
	{context.Canceled, codes.Canceled, relayv1.Outcome_OUTCOME_UNKNOWN},
}

// rowOf is nil for an error that nobody told us about.
func rowOf(err error) *errorRow {
	for i := range errorTable {
		if errors.Is(err, errorTable[i].err) {
			return &errorTable[i]
		}
	}
	return nil
}

// internalText is all that a caller learns about an error that is not in the table.
const internalText = "internal error"

// statusOf returns the gRPC status of an error. One that is a status already
// stays; one that is unknown is logged and becomes Internal.
func statusOf(ctx context.Context, log *slog.Logger, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	if row := rowOf(err); row != nil {
		return status.Error(row.code, row.err.Error())
	}
	log.ErrorContext(ctx, "request failed for an unexpected reason", "error", err)
	return status.Error(codes.Internal, internalText)
}

// outcomeOf returns what a relayed publish is answered with. Of an error that
// is unknown it cannot be said what was done.
func outcomeOf(log *slog.Logger, r *history.Receipt) (relayv1.Outcome, string) {
	switch {
	case r.Err == nil && r.Duplicate:
		return relayv1.Outcome_OUTCOME_DUPLICATE, ""
	case r.Err == nil:
		return relayv1.Outcome_OUTCOME_ACCEPTED, ""
	}
	if row := rowOf(r.Err); row != nil {
		return row.outcome, row.err.Error()
	}
	log.Error("publish failed for an unexpected reason", "error", r.Err)
	return relayv1.Outcome_OUTCOME_UNKNOWN, internalText
}

// reasonOf returns what may be said about why a group cannot be had.
func reasonOf(err error) string {
	if row := rowOf(err); row != nil {
		return row.err.Error()
	}
	return internalText
}

// badField is INVALID_ARGUMENT that names a field of the request.
func badField(field, why string) error { return violation(codes.InvalidArgument, field, why) }

// violation is a status that names a field of the request, in its text and as a
// google.rpc.BadRequest: the same request can never succeed.
func violation(code codes.Code, field, why string) error {
	s := status.New(code, field+": "+why)
	detailed, err := s.WithDetails(&errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: why}},
	})
	if err != nil {
		return s.Err()
	}
	return detailed.Err()
}
