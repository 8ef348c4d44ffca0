package relay

import "net/http"

// Code returns the code that a client gets for an outcome: the status of an HTTP publish,
// and the code of command 7 (docs/protocol.md, section 2.2).
func (o Outcome) Code() int {
	switch o {
	case Accepted, Duplicate:
		return http.StatusOK
	case Invalid:
		return http.StatusBadRequest
	case Denied:
		return http.StatusForbidden
	case Busy:
		return http.StatusTooManyRequests
	case Unavailable, Unchecked:
		return http.StatusServiceUnavailable
	case Unknown:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}
