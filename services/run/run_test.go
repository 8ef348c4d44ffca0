package run_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/services/run"
)

// journal collects what parts did, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

// part stops within the given time once told to.
func (j *journal) part(name string, stopping time.Duration, err error) run.Part {
	return run.Part{Name: name, Serve: func(ctx context.Context) error {
		j.add(name + " runs")
		<-ctx.Done()
		j.add(name + " told")
		time.Sleep(stopping)
		j.add(name + " stopped")
		return err
	}}
}

func TestPartsStopFromTheLastToTheFirstEachAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			result <- run.All(ctx, slog.New(slog.DiscardHandler), time.Minute,
				j.part("a", time.Second, nil), j.part("b", 20*time.Second, context.Canceled), j.part("c", time.Second, nil))
		}()
		synctest.Wait()
		if got := len(j.all()); got != 3 {
			t.Fatalf("%d parts run at once, want 3", got)
		}
		cancel()
		if err := <-result; err != nil {
			t.Errorf("All = %v, want nil", err)
		}
		want := []string{"c told", "c stopped", "b told", "b stopped", "a told", "a stopped"}
		if diff := cmp.Diff(want, j.all()[3:]); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestFirstFailureStopsTheRestAndNamesTheCause(t *testing.T) {
	cause := errors.New("port taken")
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"error", cause, "b: port taken"},
		{"early end", nil, "b: ended unexpectedly"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j journal
				var logged strings.Builder
				failing := run.Part{Name: "b", Serve: func(context.Context) error { return tt.err }}
				err := run.All(t.Context(), slog.New(slog.NewTextHandler(&logged, nil)), time.Minute,
					j.part("a", 0, errors.New("also broken")), failing, j.part("c", 0, nil))
				if err == nil || err.Error() != tt.want {
					t.Errorf("All = %v, want %q", err, tt.want)
				}
				if tt.err != nil && !errors.Is(err, cause) {
					t.Errorf("All = %v does not wrap the cause", err)
				}
				stops := 0
				for _, line := range j.all() {
					if strings.HasSuffix(line, "stopped") {
						stops++
					}
				}
				if stops != 2 {
					t.Errorf("journal %q, want a and c stopped", j.all())
				}
				if !strings.Contains(logged.String(), "also broken") {
					t.Errorf("a's error while stopping is not logged: %s", logged.String())
				}
			})
		})
	}
}

func TestStoppingTakesNoLongerThanTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		err := run.All(ctx, slog.New(slog.DiscardHandler), 10*time.Second,
			j.part("a", 0, nil), j.part("b", time.Hour, nil), j.part("c", 4*time.Second, nil))
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("stopping took %v, want 10s", took)
		}
		if err == nil || err.Error() != "not stopped within 10s: a, b" {
			t.Errorf("All = %v, want a and b named", err)
		}
		synctest.Wait()
		if got := j.all(); got[len(got)-1] != "a stopped" {
			t.Errorf("journal %q: a was not told to end", got)
		}
		time.Sleep(2 * time.Hour) // b ends, so that the bubble can
	})
}

func TestWithoutTimeoutStoppingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := run.All(ctx, slog.New(slog.DiscardHandler), 0, j.part("a", time.Hour, nil)); err != nil {
			t.Errorf("All = %v, want nil", err)
		}
	})
}
