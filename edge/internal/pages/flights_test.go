package pages

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/contexttest"
)

// caller makes calls that take as long as the test wants.
type caller struct {
	f     *flights
	began atomic.Int32
	end   chan struct{}
}

// call returns how many calls had begun when this one did.
func (c *caller) call(ctx context.Context) (Page, error) {
	n := c.began.Add(1)
	select {
	case <-c.end:
	case <-ctx.Done():
		return Page{}, ctx.Err()
	}
	return Page{Version: strconv.Itoa(int(n))}, nil
}

// ask asks, and sends the number of the call that answers.
func (c *caller) ask() <-chan string { return c.askUntil(context.Background()) }

// askUntil is ask for a caller that waits until ctx ends.
func (c *caller) askUntil(ctx context.Context) <-chan string {
	got := make(chan string, 1)
	go func() {
		p, _, err := c.f.do(ctx, flightKey{}, c.call)
		if err != nil {
			p.Version = err.Error()
		}
		got <- p.Version
	}()
	return got
}

func TestACallNeverAnswersARequestThatCameAfterItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &caller{f: newFlights(), end: make(chan struct{})}
		first := c.ask()
		synctest.Wait()
		second, third := c.ask(), c.ask() // the first call is under way
		synctest.Wait()
		if n := c.began.Load(); n != 1 {
			t.Fatalf("%d calls have begun, want 1: the others wait for it", n)
		}
		c.end <- struct{}{}
		synctest.Wait()
		fourth := c.ask() // the second call is under way
		synctest.Wait()
		c.end <- struct{}{}
		c.end <- struct{}{}
		for i, want := range []string{"1", "2", "2", "3"} {
			if got := <-[]<-chan string{first, second, third, fourth}[i]; got != want {
				t.Errorf("request %d was answered by call %s, want %s", i+1, got, want)
			}
		}
		if len(c.f.of) != 0 {
			t.Errorf("%d keys are left behind", len(c.f.of))
		}
	})
}

func TestOtherKeysDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &caller{f: newFlights(), end: make(chan struct{})}
		first := c.ask()
		synctest.Wait()
		if _, shared, err := c.f.do(context.Background(), flightKey{known: "v"}, func(context.Context) (Page, error) { return Page{}, nil }); shared || err != nil {
			t.Errorf("shared %v, %v", shared, err)
		}
		close(c.end)
		<-first
	})
}

func TestACallThatHangsDoesNotHoldOthersUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &caller{f: newFlights(), end: make(chan struct{})}
		hangs := c.ask()
		synctest.Wait()
		start := time.Now()
		healthy := func(context.Context) (Page, error) { return Page{Version: "healthy"}, nil }
		for range 3 { // also when the hanging one is not the last any more
			if p, _, err := c.f.do(context.Background(), flightKey{}, healthy); p.Version != "healthy" || err != nil {
				t.Errorf("%+v, %v", p, err)
			}
		}
		if took := time.Since(start); took != patience {
			t.Errorf("three calls took %v, want %v for the first to give up waiting", took, patience)
		}
		close(c.end)
		<-hangs
		if len(c.f.of) != 0 {
			t.Errorf("%d keys are left behind", len(c.f.of))
		}
	})
}

func TestErrorsAreSharedAndPanicsLeaveNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights()
		end := make(chan struct{})
		go func() {
			_, _, _ = f.do(context.Background(), flightKey{}, func(context.Context) (Page, error) { <-end; return Page{}, nil })
		}()
		synctest.Wait()
		failure := errors.New("failure")
		errs := make(chan error, 2)
		for range 2 {
			go func() {
				_, _, err := f.do(context.Background(), flightKey{}, func(context.Context) (Page, error) { return Page{}, failure })
				errs <- err
			}()
		}
		synctest.Wait()
		close(end)
		for range 2 {
			if err := <-errs; !errors.Is(err, failure) {
				t.Errorf("got %v", err)
			}
		}

		begun, boom := make(chan struct{}), make(chan struct{})
		go func() {
			defer func() { _ = recover() }()
			_, _, _ = f.do(context.Background(), flightKey{}, func(context.Context) (Page, error) { close(begun); <-boom; panic("boom") })
		}()
		<-begun
		waits := make(chan error)
		go func() {
			_, _, err := f.do(context.Background(), flightKey{}, func(context.Context) (Page, error) { return Page{}, nil })
			waits <- err
		}()
		synctest.Wait()
		close(boom)
		if err := <-waits; err != nil || len(f.of) != 0 {
			t.Errorf("%v, %d keys are left behind", err, len(f.of))
		}
	})
}

// TestManySharingCallsAlwaysSeeTheirOwnChange: a request made after a change is
// never answered with what was before.
func TestManySharingCallsAlwaysSeeTheirOwnChange(t *testing.T) {
	f := newFlights()
	var now atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 2000 {
				mine := now.Add(1)
				p, _, err := f.do(context.Background(), flightKey{}, func(context.Context) (Page, error) {
					return Page{Body: make([]byte, 0, now.Load())}, nil
				})
				if err != nil || int64(cap(p.Body)) < mine {
					t.Errorf("%d after change %d, %v", cap(p.Body), mine, err)
					return
				}
			}
		})
	}
	all.Wait()
	if len(f.of) != 0 {
		t.Errorf("%d keys are left behind", len(f.of))
	}
}

func TestACallEndsWithTheLastThatWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &caller{f: newFlights(), end: make(chan struct{})}
		alone, cancel := context.WithCancel(t.Context())
		first := c.askUntil(alone)
		synctest.Wait()
		leader, leave := context.WithCancel(t.Context())
		follower, follow := context.WithCancel(t.Context())
		second, third := c.askUntil(leader), c.askUntil(follower)
		synctest.Wait()
		cancel()
		if got := <-first; got != context.Canceled.Error() {
			t.Errorf("the first call, for which nobody waits: %s", got)
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		if n := c.began.Load(); n != 2 {
			t.Fatalf("%d calls have begun, want the second one, too", n)
		}
		c.end <- struct{}{} // it goes on for the follower
		if got := <-third; got != "2" {
			t.Errorf("the follower got %s, want the second page", got)
		}
		follow()
		<-second
		if len(c.f.of) != 0 {
			t.Errorf("%d keys are left behind", len(c.f.of))
		}
	})
}

func TestACallThatNobodyWaitsForDoesNotBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &caller{f: newFlights(), end: make(chan struct{})}
		first := c.ask()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		leader, follower := c.askUntil(ctx), c.askUntil(ctx)
		synctest.Wait()
		cancel()
		const canceled = "rpc error: code = Canceled desc = context canceled"
		if a, b := <-leader, <-follower; a != canceled || b != canceled {
			t.Errorf("got %s and %s", a, b)
		}
		last := c.ask() // has a call of its own
		synctest.Wait()
		c.end <- struct{}{}
		c.end <- struct{}{}
		if a, b := <-first, <-last; a != "1" || b != "2" {
			t.Errorf("the others got the pages %s and %s, want 1 and 2", a, b)
		}
		if len(c.f.of) != 0 {
			t.Errorf("%d keys are left behind", len(c.f.of))
		}
	})
}

func TestAFollowerLeavesWhateverEndsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &caller{f: newFlights(), end: make(chan struct{})}
		first := c.ask()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		leader := c.askUntil(ctx)
		synctest.Wait()
		late := contexttest.NewLate(t.Context())
		follower := c.askUntil(late)
		synctest.Wait()
		late.End()
		<-follower
		cancel()
		<-leader
		c.end <- struct{}{}
		<-first
		if n := c.began.Load(); n != 1 {
			t.Errorf("%d calls have begun, want 1: nobody waits for the second", n)
		}
	})
}
