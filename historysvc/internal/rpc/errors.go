package rpc

import (
	"context"
	"errors"
	"log/slog"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

type errorRow struct {
	err     error
	code    codes.Code
	reason  string
	outcome relayv1.Outcome
}

// errorTable is what callers learn about each error of the store: the status, its reason, the
// outcome of a relayed publish, and the sentinel's own text. The text around a
// sentinel is for the log.
var errorTable = []errorRow{
	{history.ErrUnavailable, codes.Unavailable, "STORE_UNAVAILABLE", relayv1.Outcome_OUTCOME_UNAVAILABLE},
	{history.ErrUnknown, codes.DeadlineExceeded, "OUTCOME_UNKNOWN", relayv1.Outcome_OUTCOME_UNKNOWN},
	{history.ErrBusy, codes.ResourceExhausted, "BUSY", relayv1.Outcome_OUTCOME_BUSY},
	{history.ErrNotFound, codes.NotFound, "MESSAGE_NOT_FOUND", relayv1.Outcome_OUTCOME_INVALID},
	{history.ErrWrongType, codes.FailedPrecondition, "GROUP_DAMAGED", relayv1.Outcome_OUTCOME_INVALID},
	{history.ErrNotAuthor, codes.PermissionDenied, "NOT_THE_AUTHOR", relayv1.Outcome_OUTCOME_INVALID},
	{history.ErrTooLate, codes.PermissionDenied, "TOO_LATE", relayv1.Outcome_OUTCOME_INVALID},
	// The caller's own deadline or hang-up: the outcome is unknown.
	{context.DeadlineExceeded, codes.DeadlineExceeded, "OUTCOME_UNKNOWN", relayv1.Outcome_OUTCOME_UNKNOWN},
	{context.Canceled, codes.Canceled, "CANCELLED", relayv1.Outcome_OUTCOME_UNKNOWN},
}

// rowOf returns nil for an error that is not in the table.
func rowOf(err error) *errorRow {
	for i := range errorTable {
		if errors.Is(err, errorTable[i].err) {
			return &errorTable[i]
		}
	}
	return nil
}

// internalText is everything that a caller learns about an error that is not in the table.
const internalText = "internal error"

// Status returns the gRPC status of an error. A status stays as it is. An unknown
// error is logged and becomes Internal.
func Status(ctx context.Context, log *slog.Logger, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	if row := rowOf(err); row != nil {
		return grpcstatus.Error(row.code, row.reason, row.err.Error())
	}
	log.ErrorContext(ctx, "request failed for an unexpected reason", "error", err)
	return grpcstatus.Error(codes.Internal, "INTERNAL", internalText)
}

// Outcome returns the outcome and the reason that answer a relayed publish. After an
// unknown error, the outcome is unknown, too.
func Outcome(log *slog.Logger, r *history.Receipt) (relayv1.Outcome, string) {
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

// Reason returns what callers may learn about an error.
func Reason(err error) string {
	if row := rowOf(err); row != nil {
		return row.err.Error()
	}
	return internalText
}

// BadField returns an INVALID_ARGUMENT that names a field of the request, in its text
// and as a google.rpc.BadRequest: the same request can never succeed.
func BadField(field, why string) error { return badField("INVALID_FIELD", field, why) }

// TooLarge returns the same for a field that is larger than allowed.
func TooLarge(field, why string) error { return badField("TOO_LARGE", field, why) }

func badField(reason, field, why string) error {
	return grpcstatus.Error(codes.InvalidArgument, reason, field+": "+why, &errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: why}},
	})
}
