package relay

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// TestAllMemberCountsAreReportedAgainNowAndThen looks at what a store that has
// lost some of them gets.
func TestAllMemberCountsAreReportedAgainNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		members := map[group.Name]uint32{"/a": 2, "/b": 1}
		r := reporter{handler: &recorder{members: func() map[group.Name]uint32 { return members }}}
		all := map[string]uint32{"/a": 2, "/b": 1}
		for second := range 21 {
			p := r.presence()[0]
			want := map[string]uint32{}
			if second%10 == 0 {
				want = all
			}
			if p.GetFull() != (second%10 == 0) || !cmp.Equal(p.GetMembers(), want) {
				t.Errorf("after %d s: full %v, %v; want %v", second, p.GetFull(), p.GetMembers(), want)
			}
			time.Sleep(time.Second)
		}
	})
}
