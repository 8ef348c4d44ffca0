package fairshare_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gotapi/gotapi-ws/internal/fairshare"
)

// add adds an item if it is let in.
func add(q *fairshare.Queue, group string, bytes int) error {
	err := q.Check(group, bytes)
	if err == nil {
		q.Add(group, bytes)
	}
	return err
}

func TestAGroupIsBounded(t *testing.T) {
	for _, test := range []struct {
		name  string
		group fairshare.Load
		want  int
	}{
		{"in items", fairshare.Load{Items: 25, Bytes: 1000}, 25},
		{"in bytes", fairshare.Load{Items: 100, Bytes: 105}, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := fairshare.Queue{Limits: fairshare.Limits{Total: fairshare.Load{Items: 100, Bytes: 1000}, Group: test.group}}
			n := 0
			for add(&q, "/flood", 10) == nil {
				n++
			}
			if n != test.want {
				t.Errorf("%d items got in, want %d", n, test.want)
			}
			if err := add(&q, "/flood", 10); !errors.Is(err, fairshare.ErrGroupFull) {
				t.Errorf("got %v, want %v", err, fairshare.ErrGroupFull)
			}
			if err := add(&q, "/other", 10); err != nil {
				t.Errorf("another group: %v", err)
			}
		})
	}
}

func TestFloodsInManyGroupsLeaveRoomForOthers(t *testing.T) {
	for _, test := range []struct{ items, floods, others, each int }{
		{8000, 40, 20, 15},
		{1 << 16, 63, 5, 128},
		{512, 28, 4, 2},
		{64, 3, 1, 2},
	} {
		t.Run(fmt.Sprintf("%d items, %d floods", test.items, test.floods), func(t *testing.T) {
			all := fairshare.Load{Items: test.items, Bytes: 1 << 30}
			q := fairshare.Queue{Limits: fairshare.Limits{Total: all, Group: fairshare.Load{Items: max(1, test.items/4), Bytes: 1 << 30}}}
			for g := range test.floods {
				for add(&q, fmt.Sprint("/flood/", g), 1) == nil {
				}
			}
			for g := range test.others {
				for n := range test.each {
					if err := add(&q, fmt.Sprint("/other/", g), 1); err != nil {
						t.Fatalf("with %d waiting, item %d of group %d: %v", q.Total.Items, n, g, err)
					}
				}
			}
		})
	}
}

func TestTheReserveHoldsBytesToo(t *testing.T) {
	q := fairshare.Queue{Limits: fairshare.Limits{
		Total: fairshare.Load{Items: 1000, Bytes: 800}, Group: fairshare.Load{Items: 1000, Bytes: 800},
	}}
	for add(&q, "/flood", 10) == nil {
	}
	if q.Total.Bytes != 700 {
		t.Errorf("a flood takes %d of 800 bytes, want 700", q.Total.Bytes)
	}
	if err := add(&q, "/other", 100); err != nil {
		t.Errorf("another group: %v", err)
	}
	if err := add(&q, "/third", 1); !errors.Is(err, fairshare.ErrFull) {
		t.Errorf("got %v, want %v", err, fairshare.ErrFull)
	}
}

func TestRemoveUndoesAdd(t *testing.T) {
	var q fairshare.Queue
	for _, bytes := range []int{7, 5} {
		q.Add("/a", bytes)
	}
	q.Remove("/a", 7)
	if want := (fairshare.Load{Items: 1, Bytes: 5}); q.Total != want || q.Groups["/a"] != want {
		t.Errorf("got %+v, want one item of 5 bytes", q)
	}
	q.Remove("/a", 5)
	if q.Total != (fairshare.Load{}) || len(q.Groups) != 0 {
		t.Errorf("got %+v, want nothing", q)
	}
}
