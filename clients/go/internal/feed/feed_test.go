package feed_test

import (
	"context"
	"errors"
	"testing"

	"github.com/gotapi/gotapi-ws/clients/go/internal/feed"
)

func TestWhatWasPutComesBeforeTheEnd(t *testing.T) {
	broken := errors.New("broken")
	f := feed.Start(3, func(ctx context.Context, put feed.Put[int]) error {
		for i := range 3 {
			if err := put(ctx, i); err != nil {
				return err
			}
		}
		return broken
	})
	<-f.Done()
	for want := range 3 {
		if got, err := f.Next(t.Context()); got != want || err != nil {
			t.Fatalf("got %d, %v, want %d", got, err, want)
		}
	}
	if _, err := f.Next(t.Context()); !errors.Is(err, broken) {
		t.Errorf("after the last event: %v, want %v", err, broken)
	}
}

func TestCloseEndsWorkThatWaitsForRoom(t *testing.T) {
	f := feed.Start(1, func(ctx context.Context, put feed.Put[int]) error {
		for {
			if err := put(ctx, 1); err != nil {
				return err
			}
		}
	})
	if _, err := f.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if !errors.Is(f.Err(), context.Canceled) {
		t.Errorf("ended with %v, want %v", f.Err(), context.Canceled)
	}
}
