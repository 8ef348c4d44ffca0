package client

import (
	"encoding/json"
	"net/http"
	"strings"
)

// BatchResult is the result of one publish of a batch.
type BatchResult struct {
	Code       int
	Group      string
	Stored     bool
	UUID       string
	Duplicate  bool
	Seq        uint64
	At         int64
	Msg        string
	RetryAfter int64
}

// BatchLine is a line that publishes a packet to a group.
func BatchLine(group, packet string) string {
	line, _ := json.Marshal(struct {
		Group  string `json:"group"`
		Packet string `json:"packet"`
	}{group, packet})
	return string(line)
}

// Batch publishes lines and expects 200 with as many results.
func Batch(tb TB, addr string, lines ...string) []BatchResult {
	tb.Helper()
	a := Do(tb, http.MethodPost, addr, "/__/publish", strings.Join(lines, "\n"), "Content-Type: application/x-ndjson")
	if a.Code != http.StatusOK {
		tb.Fatalf("batch: %d %s", a.Code, a.Body)
	}
	var answer struct{ Results []BatchResult }
	a.JSON(tb, &answer)
	if len(answer.Results) != len(lines) {
		tb.Fatalf("batch: %d results to %d lines", len(answer.Results), len(lines))
	}
	return answer.Results
}
