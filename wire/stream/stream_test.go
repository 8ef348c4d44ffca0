package stream

import "testing"

func TestNext(t *testing.T) {
	at := Position{Epoch: 7, Seq: 3, Changes: 1, Link: 30}
	for _, tt := range []struct {
		name  string
		from  Position
		epoch Epoch
		event Event
		want  Verdict
		then  Position
	}{
		{"next message", at, 7, Event{Kind: Message, Seq: 4, Prev: 30, Link: 40}, Follows, Position{7, 4, 1, 40}},
		{"next tombstone", at, 7, Event{Kind: Tombstone, Seq: 4, Prev: 30, Link: 40}, Follows, Position{7, 4, 1, 40}},
		{"old message", at, 7, Event{Kind: Message, Seq: 3, Prev: 20, Link: 30}, Old, at},
		{"hole", at, 7, Event{Kind: Message, Seq: 5, Prev: 40, Link: 50}, Broken, at},
		{"fork under the next number", at, 7, Event{Kind: Message, Seq: 4, Prev: 31, Link: 40}, Broken, at},
		{"another epoch", at, 8, Event{Kind: Message, Seq: 4, Prev: 30, Link: 40}, Broken, at},
		{"another epoch from one", at, 8, Event{Kind: Message, Seq: 1, Link: 40}, Broken, at},
		{"first message of all", Position{}, 8, Event{Kind: Message, Seq: 1, Prev: 99, Link: 10}, Follows, Position{8, 1, 0, 10}},
		{"second message of a group unknown so far", Position{}, 8, Event{Kind: Message, Seq: 2, Prev: 10, Link: 20}, Broken, Position{}},
		{"recall in a group unknown so far", Position{}, 8, Event{Kind: Recall, Seq: 1, Changes: 1, Prev: 10, Link: 20}, Broken, Position{}},
		{"next recall", at, 7, Event{Kind: Recall, Seq: 3, Changes: 2, Prev: 30, Link: 31}, Follows, Position{7, 3, 2, 31}},
		{"old recall", at, 7, Event{Kind: Recall, Seq: 2, Changes: 1, Prev: 20, Link: 21}, Old, at},
		{"lost recall", at, 7, Event{Kind: Recall, Seq: 3, Changes: 3, Prev: 31, Link: 32}, Broken, at},
		{"recall after a lost message", at, 7, Event{Kind: Recall, Seq: 4, Changes: 2, Prev: 40, Link: 41}, Broken, at},
		{"recall of a fork", at, 7, Event{Kind: Recall, Seq: 3, Changes: 2, Prev: 33, Link: 41}, Broken, at},
		{"message after a lost recall", at, 7, Event{Kind: Message, Seq: 4, Prev: 31, Link: 40}, Broken, at},
		{"broadcast", at, 0, Event{Kind: Text}, Follows, at},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.from
			if got := p.Next(tt.epoch, &tt.event); got != tt.want {
				t.Errorf("Next(%d, %+v) at %+v = %v, want %v", tt.epoch, tt.event, tt.from, got, tt.want)
			}
			if p != tt.then {
				t.Errorf("after %+v: position %+v, want %+v", tt.event, p, tt.then)
			}
		})
	}
}
