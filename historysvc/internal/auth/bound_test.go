package auth

import "testing"

func TestBoundHoldsInTotalAndForEachOwner(t *testing.T) {
	b := newBound(3, 2)
	for i, step := range []struct {
		owner string
		room  bool
	}{
		{"a", true}, {"a", true}, {"a", false}, {"b", true}, {"b", false}, {"c", false},
	} {
		if room := b.add(step.owner); room != step.room {
			t.Errorf("step %d: room for %s: %v", i, step.owner, room)
		}
	}
	b.remove("a")
	if !b.add("c") || b.add("c") {
		t.Error("what is removed leaves room for one")
	}
	for _, owner := range []string{"a", "b", "c"} {
		b.remove(owner)
	}
	if b.count != 0 || len(b.of) != 0 {
		t.Errorf("left over: %d, %v", b.count, b.of)
	}
}
