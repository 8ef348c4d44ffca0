package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"

	"github.com/gotapi/gotapi-ws/historysvc/internal/audit"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// disk has room for so many bytes.
type disk struct {
	bytes.Buffer
	room int
}

// Write implements io.Writer as a file does.
func (d *disk) Write(b []byte) (int, error) {
	n, _ := d.Buffer.Write(b[:min(len(b), d.room)])
	d.room -= n
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// recall has the recall of a message of that group written down.
func recall(t *testing.T, l *audit.Log, group string) {
	t.Helper()
	done := func(context.Context, any) (any, error) { return nil, nil }
	if _, err := l.Unary(t.Context(), &historyv1.CancelRequest{GroupName: group, Uuid: "u"}, &grpc.UnaryServerInfo{}, done); err != nil {
		t.Fatal(err)
	}
}

func TestALineThatAFullDiskCutTakesNoOtherWithIt(t *testing.T) {
	// Nothing, a part, or all but its end of the second line fits.
	for _, room := range []int{0, 1, 60} {
		d := &disk{room: 1 << 20}
		l := audit.New(d, slog.New(slog.DiscardHandler))
		recall(t, l, "/first")
		d.room = room
		recall(t, l, "/cut")
		recall(t, l, "/lost")
		d.room = 1 << 20
		recall(t, l, "/third")
		recall(t, l, "/last")
		var groups []string
		for line := range strings.Lines(d.String()) {
			var e audit.Entry
			if json.Unmarshal([]byte(line), &e) == nil {
				groups = append(groups, e.Group)
			}
		}
		if got := strings.Join(groups, " "); got != "/first /third /last" {
			t.Errorf("room for %d bytes of the second line: the log has %q, want /first /third /last:\n%s", room, got, d.String())
		}
	}
}

func TestNamesThatAreNoneAreCut(t *testing.T) {
	d := &disk{room: 1 << 20}
	recall(t, audit.New(d, slog.New(slog.DiscardHandler)), strings.Repeat("x", 100_000))
	if n := d.Len(); n > 2000 {
		t.Errorf("a line of %d bytes for a group that is none", n)
	}
}
