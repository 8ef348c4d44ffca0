// Package httpjson writes JSON answers over HTTP, and errors in the one form that all
// of them have (docs/protocol.md, section 6).
package httpjson

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

// ContentType is that of JSON.
const ContentType = "application/json"

// Write answers with a body that is JSON.
func Write(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", ContentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body) //nolint:gosec // JSON, and labelled so; it fails when the client has gone or asked for the head
}

// WriteError answers with {"code":C,"msg":"..."}. Retry-After is a second if it is
// needed and not set.
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
	b = AppendString(b, msg)
	Write(w, code, append(b, '}'))
}

// WriteRetry is WriteError for what passes by waiting. Retry-After is again, in whole
// seconds.
func WriteRetry(w http.ResponseWriter, code int, msg string, again time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(again.Seconds()))))
	WriteError(w, code, msg)
}

// WriteUpgradeRequired answers 426. Over HTTP/2, which knows no upgrades and forbids
// the headers that name one, the status and msg must do.
func WriteUpgradeRequired(w http.ResponseWriter, r *http.Request, msg string) {
	if r.ProtoMajor == 1 {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
	}
	WriteError(w, http.StatusUpgradeRequired, msg)
}

// lineEnds end a line within a string in JavaScript before 2019.
var lineEnds = strings.NewReplacer("\u2028", `\u2028`, "\u2029", `\u2029`)

// AppendString appends s as a JSON string that is a JavaScript string, too.
func AppendString(b []byte, s string) []byte {
	start := len(b)
	b = packet.AppendString(b, s)
	if !hasLineEnd(s) {
		return b
	}
	return append(b[:start], lineEnds.Replace(string(b[start:]))...)
}

// hasLineEnd looks for the two bytes first that both line ends begin with.
func hasLineEnd(s string) bool {
	return strings.Contains(s, "\xe2\x80") && (strings.Contains(s, "\u2028") || strings.Contains(s, "\u2029"))
}
