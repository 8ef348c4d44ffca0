package redisstore

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
)

// observed returns how often a histogram was.
func observed(t *testing.T, h prometheus.Observer) uint64 {
	t.Helper()
	var m dto.Metric
	if err := h.(prometheus.Metric).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetHistogram().GetSampleCount()
}

func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestRoundTripsAreMeasuredByKind(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			for _, uuid := range []string{"a", "b", "c"} {
				must(t, s, g, uuid) // one after another: a pipeline each
			}
			// At least: the source of a script may have to be sent, and a list adopted.
			if n := observed(t, s.stats.seconds[callAppend]); n < 3 {
				t.Errorf("got %d pipelines, want at least 3", n)
			}
			if n := observed(t, s.stats.batch); n < 3 {
				t.Errorf("got %d batches, want at least 3", n)
			}
			before := observed(t, s.stats.seconds[callScript])
			if _, err := s.Read(t.Context(), g, history.Start{}); err != nil {
				t.Fatal(err)
			}
			if n := observed(t, s.stats.seconds[callScript]); n <= before {
				t.Errorf("got %d scripts after a read, want more than %d", n, before)
			}
			before = observed(t, s.stats.seconds[callCommand])
			if err := s.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := observed(t, s.stats.seconds[callCommand]); n <= before {
				t.Errorf("got %d commands after a ping, want more than %d", n, before)
			}
		})
	}
}

func TestRoundTripsWithoutAnAnswerAreCounted(t *testing.T) {
	s, err := Open(t.Context(), Options{URL: imitation.url(t), Embedded: true}, quiet(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Fatal("a closed store answers")
	}
	if n := counted(t, s.stats.errors[callCommand]); n != 1 {
		t.Errorf("got %v errors, want 1", n)
	}
}

func TestARoundTripIsNamedForWhatItDoes(t *testing.T) {
	of := func(args ...any) *redis.Cmd { return redis.NewCmd(t.Context(), args...) }
	for _, tt := range []struct {
		want callKind
		cmds []redis.Cmder
	}{
		{callAppend, []redis.Cmder{once{of("evalsha", "x", 0)}, once{of("publish", "c", "p")}}},
		{callAppend, []redis.Cmder{confirmed{once{of("evalsha", "x", 0)}, callAppend}}},
		{callScript, []redis.Cmder{confirmed{once{of("evalsha", "x", 0)}, callScript}}},
		{callScript, []redis.Cmder{of("evalsha", "x", 0)}},
		{callScript, []redis.Cmder{of("script", "load", "return 1")}},
		{callScript, []redis.Cmder{of("multi"), of("llen", "l"), of("evalsha", "x", 0), of("exec")}},
		{callCommand, []redis.Cmder{of("multi"), of("lrange", "l", 0, 1), of("exec")}},
		{callCommand, []redis.Cmder{of("ping")}},
	} {
		if got := kindOf(tt.cmds...); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.cmds, got, tt.want)
		}
	}
}
