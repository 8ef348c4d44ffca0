package whole

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
)

// talk sends n data packets and waits for each ack before the next packet, as
// a careful client does: what is refused with a code that allows it is sent
// again under the same uuid. It returns how often that happened.
func talk(t *testing.T, m *client.Member, name string, n int) (refused int) {
	for i := range n {
		uuid := fmt.Sprintf("%s-%03d", name, i)
		packet := client.Data(uuid, name)
		m.Text(packet)
		for {
			p := client.Parse(t, m.Next().Data)
			if p.Type == 1 && p.Command == 1 && p.UUID == uuid {
				break
			}
			if p.Type == 1 && p.Command == 7 && p.UUID == uuid {
				var why struct{ Code int }
				if err := json.Unmarshal(p.Body.Data, &why); err != nil || why.Code < 429 {
					t.Errorf("%s was refused: %s", uuid, p.Body.Data)
					return refused
				}
				refused++
				m.Text(packet)
			}
		}
	}
	return refused
}

// history returns the uuids of the newest n messages of a group, oldest first.
func history(t *testing.T, addr, group string, n int) []string {
	t.Helper()
	page := client.History(t, addr, group, "size", fmt.Sprint(n))
	uuids := make([]string, len(page.Data))
	for i, text := range page.Data {
		uuids[i] = client.Parse(t, text).UUID
	}
	slices.Reverse(uuids)
	return uuids
}

// stream returns the uuids of what is, for this member, the stream of its
// group: the messages of others and the acks of its own.
func stream(t *testing.T, messages []client.Message) []string {
	t.Helper()
	var uuids []string
	for _, m := range messages {
		if m.Binary || !strings.HasPrefix(m.Data, "{") {
			continue
		}
		p := client.Parse(t, m.Data)
		if p.Type == 2 || p.Type == 1 && p.Command == 1 {
			uuids = append(uuids, p.UUID)
		}
	}
	return uuids
}
