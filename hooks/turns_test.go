package hooks

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotapi/gotapi-ws/internal/fairshare"
)

// ask takes a turn of group for a second, as a hook that needs so long.
func ask(t *turns, group string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := t.acquire(ctx, group)
	if err == nil {
		time.Sleep(time.Second)
		t.release(group)
	}
	return err
}

// tooMany reports whether a packet was not queued.
func tooMany(err error) bool {
	return errors.Is(err, fairshare.ErrFull) || errors.Is(err, fairshare.ErrGroupFull)
}

// wantNothingLeft checks that nothing waits, and that so many packets can be asked
// about at once.
func wantNothingLeft(t *testing.T, turns *turns, concurrency int) {
	t.Helper()
	if n := turns.asking.Waiting(); n != 0 || turns.queue.Total.Items != 0 || len(turns.queue.Groups) != 0 {
		t.Errorf("something is left: %d wait, %+v", n, turns.queue)
	}
	for n := range concurrency {
		if err := turns.acquire(t.Context(), fmt.Sprint("/", n)); err != nil {
			t.Errorf("turn %d: %v", n, err)
		}
	}
}

// 0 of 12 packets of another group were asked about while one group had 2,000 waiting.
func TestFloodInOneGroupLeavesOthersTheirTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(4, 100)
		var calm atomic.Bool
		var refused atomic.Int32
		for range 200 {
			go func() {
				for !calm.Load() {
					if tooMany(ask(turns, "/flood")) {
						refused.Add(1)
						time.Sleep(100 * time.Millisecond)
					}
				}
			}()
		}
		synctest.Wait()
		for range 12 {
			began := time.Now()
			if err := ask(turns, "/victim"); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %v, want at most a turn more than its own", took)
			}
		}
		turns.mu.Lock()
		queued := turns.queue.Groups["/flood"].Items
		turns.mu.Unlock()
		if refused.Load() == 0 || queued > (4+100)/fairshare.GroupShare {
			t.Errorf("%d of the flood are queued, %d were refused", queued, refused.Load())
		}
		calm.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantNothingLeft(t, turns, 4)
	})
}

func TestFloodsInManyGroupsLeaveAReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(64, 1024)
		for g := range 64 {
			for range 100 {
				go func() { _ = ask(turns, fmt.Sprint("/flood/", g)) }()
			}
		}
		synctest.Wait()
		if err := ask(turns, "/victim"); tooMany(err) {
			t.Errorf("the floods left no place: %v", err)
		}
		time.Sleep(time.Minute)
	})
}

func TestTurnThatIsGivenUpIsLeftToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1, 10)
		go func() { _ = ask(turns, "/a") }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := turns.acquire(ctx, "/b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("queued with a deadline: %v", err)
		}
		if err := ask(turns, "/b"); err != nil {
			t.Errorf("the next one had no turn: %v", err)
		}
		wantNothingLeft(t, turns, 1)
	})
}
