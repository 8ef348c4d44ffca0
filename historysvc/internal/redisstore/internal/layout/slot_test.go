package layout

import (
	"testing"

	"github.com/gotapi/gotapi-ws/wire/group"
)

func TestEverySlotHasATag(t *testing.T) {
	for n, tag := range slotTags() {
		if tag == "" || Slot(group.Name(tag)) != n {
			t.Fatalf("slot %d has the tag %q, of slot %d", n, tag, Slot(group.Name(tag)))
		}
	}
}
