package pages

import (
	"fmt"
	"strconv"
	"testing"
)

func page(version string, bytes int) Page { return Page{Body: make([]byte, bytes), Version: version} }

func has(c *cache, group string) bool {
	_, _, ok := c.get(key{group: group})
	return ok
}

func TestWhatWasUsedLongestAgoGoesFirst(t *testing.T) {
	const room = 10
	one := (&entry{key: key{group: "/00"}, page: page("v", 1000)}).size()
	c := newCache(room * one)
	for i := range room {
		c.put(key{group: fmt.Sprintf("/%02d", i)}, page("v", 1000), 0)
	}
	if c.used() != room*one || !has(c, "/00") { // which uses it
		t.Fatalf("%d bytes of %d, the first is there: %v", c.used(), room*one, has(c, "/00"))
	}
	c.put(key{group: "/10"}, page("v", 1000), 0)
	if has(c, "/01") || !has(c, "/00") || !has(c, "/02") || !has(c, "/10") || c.used() != room*one {
		t.Errorf("after one more: /00 %v, /01 %v, /02 %v, /10 %v, %d bytes", has(c, "/00"), has(c, "/01"), has(c, "/02"), has(c, "/10"), c.used())
	}
}

func TestTheCacheNeverTakesMoreThanItsBudget(t *testing.T) {
	const budget = 100_000
	c := newCache(budget)
	sum := func() (n int) {
		for _, at := range c.entries {
			n += at.Value.(*entry).size()
		}
		return n
	}
	for i := range 2000 {
		c.put(key{group: strconv.Itoa(i % 70), size: int32(i % 3)}, page(strconv.Itoa(i), i*37%15_000), 0)
		if c.used() > budget || c.used() != sum() || len(c.entries) != c.order.Len() {
			t.Fatalf("after %d: %d bytes, entries have %d; %d entries, %d in order", i, c.used(), sum(), len(c.entries), c.order.Len())
		}
	}
	if len(c.entries) == 0 {
		t.Error("nothing is kept")
	}
}

func TestOneLargePageDoesNotDriveOutAllOthers(t *testing.T) {
	c := newCache(80_000)
	c.put(key{group: "/small"}, page("v", 100), 0)
	c.put(key{group: "/large"}, page("v", 10_001), 0) // more than an eighth
	if has(c, "/large") || !has(c, "/small") {
		t.Errorf("large %v, small %v", has(c, "/large"), has(c, "/small"))
	}
	c.put(key{group: "/small"}, page("w", 10_001), 0)
	if has(c, "/small") || c.used() != 0 {
		t.Errorf("the old page of a group whose new one is too large is still there; %d bytes", c.used())
	}
}

func TestWithoutABudgetNothingIsKept(t *testing.T) {
	c := newCache(0)
	c.put(key{group: "/a"}, page("v", 0), 0)
	if has(c, "/a") {
		t.Error("it is")
	}
}
