package groupcommit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/groupcommit"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/internal/fairshare"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// plan is what becomes of each batch.
type plan func(b *groupcommit.Batch) (redisconn.Outcome, error)

// recorder is a queue under test, and what it writes to.
type recorder struct {
	queue *groupcommit.Queue
	plan  plan
	// How long a write takes.
	delay time.Duration
	// What Adopt does.
	adopted func()
	// What was written, as "group:payload".
	done []string
	// The sizes of the batches of each write.
	writes [][]int
	reg    *prometheus.Registry
	stop   func()
}

// newRecorder runs a queue with one lane in the bubble of a synctest.
func newRecorder(t *testing.T, l fairshare.Limits, p plan) *recorder {
	t.Helper()
	r := &recorder{plan: p, reg: prometheus.NewRegistry(), adopted: func() {}}
	r.queue = groupcommit.New(r, groupcommit.Options{Lanes: 1, Timeout: time.Minute, Limits: l}, slog.New(slog.DiscardHandler), r.reg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.queue.Run(ctx)
	}()
	r.stop = func() {
		cancel()
		<-ended
	}
	return r
}

// Write implements groupcommit.Writer.
func (r *recorder) Write(_ context.Context, batches []*groupcommit.Batch) {
	time.Sleep(r.delay)
	var sizes []int
	for _, b := range batches {
		sizes = append(sizes, len(b.Items))
		b.Outcome, b.Err = r.plan(b)
		if b.Outcome != redisconn.Done {
			continue
		}
		b.Receipts = make([]history.Receipt, len(b.Items))
		for _, i := range b.Items {
			r.done = append(r.done, string(i.Group)+":"+string(i.Payload))
		}
	}
	r.writes = append(r.writes, sizes)
}

// Adopt implements groupcommit.Writer.
func (r *recorder) Adopt(context.Context, group.Name) error {
	r.adopted()
	return nil
}

// waiting returns the gauges of what waits.
func (r *recorder) waiting(t *testing.T) (items, bytes float64) {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		switch f.GetName() {
		case "gotapi_history_append_waiting":
			items = f.GetMetric()[0].GetGauge().GetValue()
		case "gotapi_history_append_waiting_bytes":
			bytes = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return items, bytes
}

func allDone(*groupcommit.Batch) (redisconn.Outcome, error) { return redisconn.Done, nil }

func limits(items, bytes, groupItems, groupBytes int) fairshare.Limits {
	return fairshare.Limits{
		Total: fairshare.Load{Items: items, Bytes: bytes},
		Group: fairshare.Load{Items: groupItems, Bytes: groupBytes},
	}
}

var generous = limits(1<<20, 1<<30, 1<<20, 1<<30)

// answers are what publications got, by payload.
type answers struct {
	mu  sync.Mutex
	got map[string]error
}

func newAnswers() *answers { return &answers{got: make(map[string]error)} }

func (a *answers) add(payload string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, twice := a.got[payload]; twice {
		panic("answered twice: " + payload)
	}
	a.got[payload] = err
}

func (a *answers) all() map[string]error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.got)
}

// senderFunc is a history.Sender.
type senderFunc func(history.Receipt)

func (f senderFunc) Settle(r history.Receipt) { f(r) }

// put submits a publication; told collects what it gets.
func (r *recorder) put(g, payload string, kind stream.Kind, timeout time.Duration, told *answers) {
	r.queue.Submit(groupcommit.Item{Kind: kind, Publication: &history.Publication{
		Group: group.Name(g), Kind: kind, Payload: []byte(payload), Deadline: time.Now().Add(timeout),
		From: senderFunc(func(receipt history.Receipt) { told.add(payload, receipt.Err) }),
	}})
}

func TestALaneSendsWhatGatheredWhileItWasBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, generous, allDone)
		r.delay = time.Millisecond
		told := newAnswers()
		r.put("/a", "0", stream.Message, time.Second, told)
		synctest.Wait() // it is on its way, alone
		for i := range 299 {
			r.put("/a", fmt.Sprint(i+1), stream.Message, time.Second, told)
		}
		r.put("/b", "b", stream.Message, time.Second, told)
		time.Sleep(10 * time.Millisecond)
		r.stop()
		if diff := cmp.Diff([][]int{{1}, {1, 128}, {128}, {43}}, r.writes); diff != "" {
			t.Errorf("rounds (-want +got):\n%s", diff)
		}
		for i := range 300 {
			if want := fmt.Sprint("/a:", i); !slices.Contains(r.done, want) {
				t.Fatalf("%s is missing", want)
			}
		}
		if len(told.all()) != 301 {
			t.Errorf("%d answers", len(told.all()))
		}
	})
}

func TestOneMessageAloneTakesOneRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, generous, allDone)
		r.delay = time.Millisecond
		began := time.Now()
		var took time.Duration
		r.queue.Submit(groupcommit.Item{Kind: stream.Message, Publication: &history.Publication{
			Group: "/a", Kind: stream.Message, Deadline: began.Add(time.Second),
			From: senderFunc(func(history.Receipt) { took = time.Since(began) }),
		}})
		time.Sleep(time.Second)
		r.stop()
		if took != time.Millisecond {
			t.Errorf("took %v, want the round's 1 ms", took)
		}
	})
}

func TestAFloodInOneGroupIsRefusedAndOthersAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, limits(1000, 1<<20, 500, 1<<20), allDone)
		r.delay = time.Millisecond
		flood, other := newAnswers(), newAnswers()
		for i := range 700 {
			r.put("/flood", fmt.Sprint(i), stream.Message, time.Minute, flood)
		}
		r.put("/other", "x", stream.Message, time.Minute, other)
		time.Sleep(2500 * time.Microsecond) // two rounds
		if err, ok := other.all()["x"]; !ok || err != nil {
			t.Errorf("the other group waits: %v, %v", ok, err)
		}
		time.Sleep(time.Second)
		r.stop()
		busy := 0
		for _, err := range flood.all() {
			if errors.Is(err, history.ErrBusy) {
				busy++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if busy != 200 || len(flood.all()) != 700 {
			t.Errorf("%d of %d are refused, want 200 of 700", busy, len(flood.all()))
		}
		if items, bytes := r.waiting(t); items != 0 || bytes != 0 {
			t.Errorf("left over: %v publications, %v bytes", items, bytes)
		}
	})
}

func TestFloodsInManyGroupsLeaveRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, limits(8000, 1<<30, 2000, 1<<30), allDone)
		r.delay = time.Hour // nothing comes back
		flood, others := newAnswers(), newAnswers()
		for g := range 40 {
			for i := range 2500 {
				r.put(fmt.Sprint("/flood/", g), fmt.Sprint(g, "-", i), stream.Message, time.Minute, flood)
			}
		}
		for i := range 20 * 15 {
			r.put(fmt.Sprint("/other/", i%20), fmt.Sprint(i), stream.Message, time.Minute, others)
		}
		if refused := others.all(); len(refused) > 0 {
			t.Errorf("groups that have little waiting are refused: %v", refused)
		}
		time.Sleep(3 * time.Hour)
		r.stop()
	})
}

func TestBytesAreBoundedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, limits(1000, 10000, 1000, 5000), allDone)
		r.delay = time.Millisecond
		told := newAnswers()
		big := string(make([]byte, 3000))
		r.put("/a", big+"1", stream.Message, time.Minute, told)
		r.put("/a", big+"2", stream.Message, time.Minute, told)
		r.put("/b", big+"3", stream.Message, time.Minute, told)
		r.put("/c", big+"4", stream.Message, time.Minute, told)
		r.put("/d", big+"5", stream.Message, time.Minute, told)
		synctest.Wait()
		r.stop()
		for i, refused := range []bool{false, true, false, false, true} {
			if err := told.all()[big+fmt.Sprint(i+1)]; errors.Is(err, history.ErrBusy) != refused {
				t.Errorf("publication %d: %v", i+1, err)
			}
		}
	})
}

func TestALaterMessageNeverOvertakesOneThatIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := 5
		r := newRecorder(t, generous, func(b *groupcommit.Batch) (redisconn.Outcome, error) {
			if b.Group == "/a" && failures > 0 {
				failures--
				return []redisconn.Outcome{redisconn.NotDone, redisconn.Unknown}[failures%2], errors.New("no")
			}
			return redisconn.Done, nil
		})
		r.delay = 5 * time.Millisecond // more comes in while a round fails
		told := newAnswers()
		var want []string
		for i := range 50 {
			r.put("/a", fmt.Sprint(i), stream.Message, time.Minute, told)
			want = append(want, fmt.Sprint("/a:", i))
			time.Sleep(2 * time.Millisecond)
			r.put("/b", fmt.Sprint("b", i), stream.Message, time.Minute, told)
		}
		time.Sleep(time.Second)
		r.stop()
		got := slices.DeleteFunc(r.done, func(s string) bool { return s[:2] == "/b" })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		if failures > 0 || len(told.all()) != 100 {
			t.Errorf("%d failures left, %d answers", failures, len(told.all()))
		}
	})
}

func TestTheAnswerAtTheDeadlineSaysWhatIsKnown(t *testing.T) {
	for _, test := range []struct {
		name  string
		fates []redisconn.Outcome // the last one forever
		want  error
	}{
		{"never reached", []redisconn.Outcome{redisconn.NotDone}, history.ErrUnavailable},
		{"once without answer", []redisconn.Outcome{redisconn.NotDone, redisconn.Unknown, redisconn.NotDone}, history.ErrUnknown},
		{"refused", []redisconn.Outcome{redisconn.Refused}, history.ErrUnavailable},
		{"refused after no answer", []redisconn.Outcome{redisconn.Unknown, redisconn.Refused}, history.ErrUnknown},
		{"not a list", []redisconn.Outcome{redisconn.Unknown, redisconn.WrongType}, history.ErrWrongType},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fates := test.fates
				r := newRecorder(t, generous, func(*groupcommit.Batch) (redisconn.Outcome, error) {
					f := fates[0]
					if len(fates) > 1 {
						fates = fates[1:]
					}
					return f, errors.New("no")
				})
				told := newAnswers()
				r.put("/a", "m", stream.Message, 5*time.Second, told)
				time.Sleep(5*time.Second + redisconn.Backoff.Max)
				synctest.Wait()
				if err, ok := told.all()["m"]; !ok || !errors.Is(err, test.want) {
					t.Errorf("told %v, want %v", err, test.want)
				}
				r.stop()
				if tries := len(r.writes); tries > 50 {
					t.Errorf("%d tries in 5 s", tries)
				}
			})
		})
	}
}

func TestAPacketThatIsNotStoredIsNotSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		r := newRecorder(t, generous, func(*groupcommit.Batch) (redisconn.Outcome, error) {
			tries++
			if tries <= 2 {
				return []redisconn.Outcome{redisconn.NotDone, redisconn.Unknown}[tries-1], errors.New("no")
			}
			return redisconn.Done, nil
		})
		told := newAnswers()
		r.put("/a", "m1", stream.Message, time.Minute, told)
		r.put("/a", "low", stream.Text, time.Minute, told)
		r.put("/a", "m2", stream.Message, time.Minute, told)
		time.Sleep(time.Second)
		r.stop()
		if diff := cmp.Diff([]string{"/a:m1", "/a:m2"}, r.done); diff != "" {
			t.Errorf("carried out (-want +got):\n%s", diff)
		}
		if err := told.all()["low"]; !errors.Is(err, history.ErrUnknown) {
			t.Errorf("told %v", err)
		}
	})
}

func TestWhatWaitsWhenALaneStopsIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, generous, func(*groupcommit.Batch) (redisconn.Outcome, error) { return redisconn.NotDone, errors.New("no") })
		told := newAnswers()
		r.put("/a", "1", stream.Message, time.Minute, told)
		r.put("/a", "2", stream.Text, time.Minute, told)
		time.Sleep(time.Second)
		r.stop()
		r.put("/a", "3", stream.Message, time.Minute, told)
		for _, p := range []string{"1", "2", "3"} {
			if err := told.all()[p]; !errors.Is(err, history.ErrUnavailable) {
				t.Errorf("%s got %v", p, err)
			}
		}
	})
}

func TestAGroupWaitsForItsAdoptionAndOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var adopted atomic.Bool
		r := newRecorder(t, generous, func(b *groupcommit.Batch) (redisconn.Outcome, error) {
			if b.Group == "/old" && !adopted.Load() {
				return redisconn.MustAdopt, errors.New("ADOPT")
			}
			return redisconn.Done, nil
		})
		r.adopted = func() {
			time.Sleep(time.Second)
			adopted.Store(true)
		}
		told := newAnswers()
		r.put("/old", "1", stream.Message, time.Minute, told)
		r.put("/new", "2", stream.Message, time.Minute, told)
		time.Sleep(time.Millisecond)
		r.put("/old", "3", stream.Message, time.Minute, told)
		synctest.Wait()
		if _, ok := told.all()["2"]; !ok || len(told.all()) != 1 {
			t.Errorf("answers: %v", told.all())
		}
		time.Sleep(2 * time.Second)
		r.stop()
		if diff := cmp.Diff([]string{"/new:2", "/old:1", "/old:3"}, r.done); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// putRun submits so many messages of one run.
func (r *recorder) putRun(n int, told *answers) {
	run := new(history.Run)
	for i := range n {
		payload := fmt.Sprint(i)
		r.queue.Submit(groupcommit.Item{Publication: &history.Publication{
			Group: "/a", Kind: stream.Message, Payload: []byte(payload), Deadline: time.Now().Add(time.Second), Run: run,
			From: senderFunc(func(receipt history.Receipt) { told.add(payload, receipt.Err) }),
		}})
	}
}

func TestWhatFollowsAFailureInItsRunIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writes := 0
		r := newRecorder(t, generous, func(*groupcommit.Batch) (redisconn.Outcome, error) {
			if writes++; writes == 2 {
				return redisconn.Refused, errors.New("out of memory")
			}
			return redisconn.Done, nil
		})
		r.delay = time.Millisecond
		told := newAnswers()
		r.put("/a", "before", stream.Message, time.Second, told)
		synctest.Wait()
		r.putRun(300, told) // three writes; the first of them is refused
		r.put("/a", "after", stream.Message, time.Second, told)
		time.Sleep(10 * time.Millisecond)
		r.stop()
		if diff := cmp.Diff([]string{"/a:before", "/a:after"}, r.done); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
		for i := range 300 {
			if err := told.all()[fmt.Sprint(i)]; !errors.Is(err, history.ErrUnavailable) {
				t.Fatalf("%d: %v, want %v", i, err, history.ErrUnavailable)
			}
		}
	})
}

func TestWhatFollowsABusyRefusalInItsRunIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, limits(1000, 1<<20, 4, 1<<20), allDone)
		r.delay = time.Millisecond
		told := newAnswers()
		r.putRun(6, told)
		time.Sleep(10 * time.Millisecond)
		r.stop()
		if diff := cmp.Diff([]string{"/a:0", "/a:1", "/a:2", "/a:3"}, r.done); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
		all := told.all()
		if !errors.Is(all["4"], history.ErrBusy) || !errors.Is(all["5"], history.ErrUnavailable) {
			t.Errorf("the last two: %v and %v, want %v and %v", all["4"], all["5"], history.ErrBusy, history.ErrUnavailable)
		}
	})
}
