package bench_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotapi/gotapi-ws/cli/internal/bench"
	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// echo is a server in memory: an ack takes delay, and what is acked is delivered
// to all listeners, unless lose says otherwise. It hangs from one time to another.
type echo struct {
	delay       time.Duration
	hangs, till time.Duration // since the first publish
	refuse      bool
	lose        bool

	mu        sync.Mutex
	first     time.Time
	listeners []*ear
}

func (s *echo) target() bench.Target {
	return bench.Target{
		Publisher: func(string) (bench.Publisher, error) { return s, nil },
		Listen: func(string) (bench.Listener, error) {
			l := &ear{events: make(chan gotapi.Event, 100_000)}
			l.events <- gotapi.Event{Kind: gotapi.Connected}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.listeners = append(s.listeners, l)
			return l, nil
		},
	}
}

func (s *echo) Publish(ctx context.Context, data []byte) (gotapi.Published, error) {
	if s.refuse {
		return gotapi.Published{}, &gotapi.Error{Code: http.StatusTooManyRequests, Msg: "too much"}
	}
	s.mu.Lock()
	if s.first.IsZero() {
		s.first = time.Now()
	}
	at := time.Since(s.first)
	s.mu.Unlock()
	wait := s.delay
	if at >= s.hangs && at < s.till {
		wait += s.till - at
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return gotapi.Published{}, ctx.Err()
	}
	if !s.lose {
		for _, l := range s.listeners {
			l.events <- gotapi.Event{Kind: gotapi.Message, UUID: packet.Classify(data).UUID, Data: data}
		}
	}
	return gotapi.Published{Stored: true}, nil
}

func (s *echo) Close() {}

type ear struct{ events chan gotapi.Event }

func (l *ear) Next(ctx context.Context) (gotapi.Event, error) {
	select {
	case e := <-l.events:
		return e, nil
	case <-ctx.Done():
		return gotapi.Event{}, ctx.Err()
	}
}

func (l *ear) Close() {}

// plan is one publisher and two subscribers, for ten seconds.
func plan(change func(*bench.Plan)) bench.Plan {
	p := bench.Plan{Groups: 1, Publishers: 1, Subscribers: 2, Size: 128, Duration: 10 * time.Second, Prefix: "/bench"}
	change(&p)
	return p
}

// near allows for the precision of the histograms.
func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > want/50 {
		t.Errorf("%s: %v, want about %v", what, got, want)
	}
}

func TestOpenLoopCountsLatencyFromWhenAMessageWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// 100 messages a second; for two of ten seconds the server hangs.
		s := &echo{delay: time.Millisecond, hangs: 4 * time.Second, till: 6 * time.Second}
		r, err := bench.Run(t.Context(), plan(func(p *bench.Plan) { p.Rate = 100; p.InFlight = 1 }), s.target(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Mode != "open" || r.Acked != 1000 || r.Deliveries != 2000 || !r.Complete() {
			t.Errorf("report %+v, want 1000 acked, 2000 delivered, complete", r)
		}
		// One message in flight: what was due meanwhile is sent later, and its latency says so. A
		// client that counts from the sending would report 1 ms for all but one.
		near(t, "p50", r.Ack.P50, 1)
		near(t, "p90", r.Ack.P90, 1101)
		near(t, "max", r.Ack.Max, 2001)
		near(t, "max of deliveries", r.Delivery.Max, 2001)
	})
}

func TestClosedLoopIsAsFastAsTheAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &echo{delay: 10 * time.Millisecond}
		r, err := bench.Run(t.Context(), plan(func(p *bench.Plan) { p.InFlight = 3; p.Warmup = time.Second }), s.target(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Mode != "closed" || !r.Complete() {
			t.Errorf("report %+v", r)
		}
		near(t, "acked per second", r.AckedPerSec, 300)
		near(t, "p99", r.Ack.P99, 10)
	})
}

func TestWhatCannotBeSentInTimeIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &echo{delay: time.Second}
		r, err := bench.Run(t.Context(), plan(func(p *bench.Plan) { p.Rate = 10; p.InFlight = 1 }), s.target(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Complete() || r.Acked+r.Unsent != 100 || r.Unsent < 89 {
			t.Errorf("acked %d, unsent %d, complete %v; want 100 in all, about 90 unsent", r.Acked, r.Unsent, r.Complete())
		}
	})
}

func TestRefusalsAndMissingDeliveriesAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := bench.Run(t.Context(), plan(func(p *bench.Plan) { p.Rate = 10 }), (&echo{refuse: true}).target(), nil)
		if err != nil || r.Refused != 100 || r.Acked != 0 || r.Complete() {
			t.Errorf("refusing: %+v, %v", r, err)
		}
		r, err = bench.Run(t.Context(), plan(func(p *bench.Plan) { p.Rate = 10 }), (&echo{lose: true}).target(), nil)
		if err != nil || r.Acked != 100 || r.Expected != 200 || r.Deliveries != 0 || r.Complete() {
			t.Errorf("losing: %+v, %v", r, err)
		}
	})
}

func TestAnInterruptedMeasurementReportsWhatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second+time.Millisecond/2)
		defer cancel()
		r, err := bench.Run(ctx, plan(func(p *bench.Plan) { p.Rate = 100 }), (&echo{delay: 20 * time.Millisecond}).target(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Complete() {
			t.Errorf("report %+v is not complete", r)
		}
		near(t, "seconds", r.Seconds, 3)
		near(t, "acked", float64(r.Acked), 300)
	})
}

func TestPlansThatCannotBeMeasured(t *testing.T) {
	for name, change := range map[string]func(*bench.Plan){
		"no group":          func(p *bench.Plan) { p.Groups = 0 },
		"too small":         func(p *bench.Plan) { p.Size = bench.MinSize - 1 },
		"negative rate":     func(p *bench.Plan) { p.Rate = -1 },
		"too much":          func(p *bench.Plan) { p.Groups = 100_000 },
		"too many unacked":  func(p *bench.Plan) { p.InFlight = 1001 },
		"no time":           func(p *bench.Plan) { p.Duration = 0 },
		"negative warmup":   func(p *bench.Plan) { p.Warmup = -1 },
		"half a subscriber": func(p *bench.Plan) { p.Subscribers = -1 },
	} {
		if err := plan(change).Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	unreachable := bench.Target{
		Publisher: func(string) (bench.Publisher, error) { return &echo{}, nil },
		Listen:    func(string) (bench.Listener, error) { return nil, errors.New("nobody there") },
	}
	if _, err := bench.Run(t.Context(), plan(func(*bench.Plan) {}), unreachable, nil); err == nil {
		t.Error("a server that is not there was measured")
	}
}
