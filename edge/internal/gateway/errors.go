package gateway

import (
	"net/http"

	"google.golang.org/grpc/codes"
)

// httpStatus is the one table from gRPC to HTTP (docs/protocol.md, section 8).
var httpStatus = map[codes.Code]int{
	codes.OK:                 http.StatusOK,
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.FailedPrecondition: http.StatusBadRequest,
	codes.OutOfRange:         http.StatusBadRequest,
	codes.Unauthenticated:    http.StatusUnauthorized,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.NotFound:           http.StatusNotFound,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.Canceled:           http.StatusServiceUnavailable,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
	// Faults of this server: their text stays in the log.
	codes.Unknown:       http.StatusInternalServerError,
	codes.Internal:      http.StatusInternalServerError,
	codes.DataLoss:      http.StatusInternalServerError,
	codes.Unimplemented: http.StatusInternalServerError,
	codes.Aborted:       http.StatusInternalServerError,
	codes.AlreadyExists: http.StatusInternalServerError,
}

// clientGone is the status of a request whose client has gone, for the metrics. It is
// nginx's; nobody reads it.
const clientGone = 499

func statusOf(c codes.Code) int {
	if s, ok := httpStatus[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// refusalText returns the text of a refusal: reason, where it was meant for the client.
func refusalText(code int, reason string) string {
	switch {
	case code == http.StatusServiceUnavailable:
		return "the store cannot be reached; nothing was done, try again"
	case code == http.StatusGatewayTimeout:
		return "no answer in time; the outcome is unknown, try again with the same uuid"
	case code >= http.StatusInternalServerError:
		return "the server made a mistake"
	case reason == "":
		return http.StatusText(code)
	default:
		return reason
	}
}
