package semaphore_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/internal/semaphore"
)

var errFull = errors.New("too many are waiting")

// queue makes a waiter of each key, in that order, and returns who got the semaphore
// when.
func queue(t *testing.T, f *semaphore.Fair, keys ...string) (held func() []string) {
	t.Helper()
	var mu sync.Mutex
	var order []string
	for _, key := range keys {
		go func() {
			if err := f.Acquire(t.Context(), key); err != nil {
				return
			}
			mu.Lock()
			order = append(order, key)
			mu.Unlock()
		}()
		synctest.Wait()
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(order)
	}
}

func TestKeysTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := semaphore.New(1, 100, 100, errFull)
		if err := f.Acquire(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		held := queue(t, f, "a", "a", "a", "b", "b", "c")
		for range 6 {
			f.Release()
			synctest.Wait()
		}
		if diff := cmp.Diff([]string{"a", "b", "c", "a", "b", "a"}, held()); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestHoldersAndWaitersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := semaphore.New(2, 4, 3, errFull)
		held := queue(t, f, "a", "a", "a", "a", "a")
		if got := len(held()); got != 2 || f.Waiting() != 3 {
			t.Fatalf("%d hold it and %d wait, want 2 and 3", got, f.Waiting())
		}
		if err := f.Acquire(t.Context(), "a"); !errors.Is(err, errFull) {
			t.Errorf("the fourth waiter of a key: %v", err)
		}
		queue(t, f, "b")
		if err := f.Acquire(t.Context(), "c"); !errors.Is(err, errFull) {
			t.Errorf("the fifth waiter: %v", err)
		}
		for range 6 {
			f.Release()
			synctest.Wait()
		}
	})
}

func TestAWaiterThatGivesUpIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := semaphore.New(1, 100, 100, errFull)
		if err := f.Acquire(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Acquire(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		held := queue(t, f, "b")
		f.Release()
		synctest.Wait()
		if got := held(); len(got) != 1 || f.Waiting() != 0 {
			t.Errorf("%v hold it, %d wait", got, f.Waiting())
		}
		f.Release()
		if err := f.Acquire(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with an ended context: %v", err)
		}
	})
}
