package relay

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/gotapi/gotapi-ws/edge/internal/historyconn"
)

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// count returns how many lines have all of the parts.
func (l *lines) count(parts ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
lines:
	for line := range strings.Lines(l.buf.String()) {
		for _, p := range parts {
			if !strings.Contains(line, p) {
				continue lines
			}
		}
		n++
	}
	return n
}

func TestAnEdgeSaysThatItHasNoHistoryService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote := newRemote(t)
		var reachable atomic.Bool
		conn, err := historyconn.Dial("one:1,two:1", grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			if !reachable.Load() {
				return nil, errors.New("nobody is there")
			}
			return remote.dial(ctx, addr)
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		log := new(lines)
		c := New(conn, Options{LastMoment: soon}, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = c.Run(ctx, newRecorder()) })
		defer running.Wait()
		defer cancel()

		for _, tt := range []struct {
			after time.Duration
			want  int
		}{{time.Second, 0}, {4 * time.Second, 1}, {8 * time.Second, 2}, {time.Minute, 3}} {
			time.Sleep(tt.after)
			synctest.Wait()
			if got := log.count("level=WARN", "no history service", "nobody is there"); got != tt.want {
				t.Errorf("%v later: %d warnings, want %d: %s", tt.after, got, tt.want, log.buf.String())
			}
		}
		reachable.Store(true)
		first := remote.next(t)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := log.count("level=INFO", "history service is back"); got != 1 {
			t.Errorf("%d lines say that there is one again, want 1", got)
		}
		first.end <- nil // a stream that moves on at once is no outage
		remote.next(t)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := log.count("no history service:"); got != 3 {
			t.Errorf("%d warnings, want the 3 of before", got)
		}
	})
}
