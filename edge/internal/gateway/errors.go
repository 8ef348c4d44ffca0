package gateway

import (
	"net/http"
	"strconv"

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

func statusOf(c codes.Code) int {
	if s, ok := httpStatus[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// refusalText is what the client is told: reason, where it was meant for it.
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

// WriteError answers with {"code":C,"msg":"..."}. When to come again is a second
// from now, unless the header says otherwise already.
func WriteError(w http.ResponseWriter, code int, msg string) {
	if (code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests) && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "1") // seconds
	}
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.Header().Set("Cache-Control", "no-store")
	b := make([]byte, 0, 64+len(msg))
	b = append(b, `{"code":`...)
	b = strconv.AppendInt(b, int64(code), 10)
	b = append(b, `,"msg":`...)
	b = appendString(b, msg)
	writeJSON(w, code, append(b, '}'))
}

func writeJSON(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", contentTypeJSON)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body) //nolint:gosec // JSON, and labelled so; it fails when the client has gone or asked for the head
}
