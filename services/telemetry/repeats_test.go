package telemetry_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotapi/gotapi-ws/services/telemetry"
)

func TestRepeatsAreCutShortAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		log := slog.New(telemetry.LimitRepeats(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})))
		for i := range 1000 {
			log.With("peer", i).Warn("a handshake failed", "n", i)
			log.Debug("of no account")
		}
		log.Warn("something else")
		log.Error("a handshake failed")
		if n := strings.Count(b.String(), "level=WARN msg=\"a handshake failed\""); n != 20 {
			t.Errorf("got the message %d times, want 20", n)
		}
		for text, want := range map[string]int{"of no account": 1000, "something else": 1, "level=ERROR": 1, "suppressed": 0} {
			if n := strings.Count(b.String(), text); n != want {
				t.Errorf("got %q %d times, want %d", text, n, want)
			}
		}

		time.Sleep(10 * time.Second)
		b.Reset()
		log.WithGroup("g").Warn("a handshake failed")
		log.Warn("a handshake failed")
		if n := strings.Count(b.String(), "suppressed=980"); n != 1 {
			t.Errorf("got the number of those left out %d times, want once:\n%s", n, b.String())
		}
	})
}
