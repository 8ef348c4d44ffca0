package edge

import (
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/edge/internal/gateway"
)

// Old processes do not say where they listen: those are what this alarm is about.
func TestAVersionAlarmNamesProcessesWithoutHosts(t *testing.T) {
	got := versionAlarms(&gateway.Processes{
		Services: []gateway.ServiceProcess{{Address: "10.0.0.2:5998", Version: "v1.0.0"}},
		Edges:    []gateway.EdgeProcess{{ID: "2a", Version: "v1.5.0"}},
	})
	if len(got) != 1 || !strings.Contains(got[0].Text, "edge 2a runs") || !strings.Contains(got[0].Text, "history service 10.0.0.2:5998 runs") {
		t.Errorf("%v, want their names", got)
	}
}
