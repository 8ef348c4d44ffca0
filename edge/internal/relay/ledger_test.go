package relay

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// The service of a broken stream, in this process, may read what it was sent long
// after the edge has gone on to another one.
func TestWhatWasWrittenIsNotChangedByWritingItAgain(t *testing.T) {
	now := time.Now()
	for name, taken := range map[string]uint64{"taken": 1, "not taken": 0} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(10, 10_000)
			l.add(newEntry(&Publication{Group: "/g", Kind: stream.Message, UUID: "u", Payload: []byte("payload"), Author: []byte("author"), span: &span{encoded: []byte("trace")}}, now.Add(5*time.Second)))
			first := l.write(1, now)[0]
			before := proto.CloneOf(first)

			l.rewind(taken)
			again := l.write(1, now.Add(time.Second))[0]
			if diff := cmp.Diff(before, first, protocmp.Transform()); diff != "" {
				t.Errorf("what was written has changed (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(before, again, protocmp.Transform(), protocmp.IgnoreFields(&relayv1.Publish{}, "timeout_ms", "again")); diff != "" {
				t.Errorf("what is written again (-first +again):\n%s", diff)
			}
			if again.GetAgain() != (taken == 1) || first.GetAgain() {
				t.Errorf("the first time: again is %v; the second time: %v", first.GetAgain(), again.GetAgain())
			}
			if again.GetTimeoutMs() >= first.GetTimeoutMs() {
				t.Errorf("a second later the service has %d ms, and had %d: want less", again.GetTimeoutMs(), first.GetTimeoutMs())
			}
		})
	}
}

func newEntry(p *Publication, deadline time.Time) *entry {
	e := new(entry)
	e.init(p, deadline)
	return e
}
