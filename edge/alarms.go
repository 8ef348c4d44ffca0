package edge

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/gateway"
	"github.com/gotapi/gotapi-ws/edge/internal/historyconn"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/services/alarm"
	"github.com/gotapi/gotapi-ws/services/program"
	"github.com/gotapi/gotapi-ws/wire/relayversion"
)

// Alerts of docs/operations.md.
const (
	alertBudgetFull     = "GotapiEdgeBudgetFull"
	alertWithoutHistory = "GotapiEdgeWithoutHistory"
	alertVersions       = "GotapiVersionsDiffer"
)

// alarms knows what is wrong with this edge. It is safe for concurrent use.
type alarms struct {
	// Names the edge.
	host   string
	bounds *bounds
	certs  certificates
	budget *limit.Budget
	groups *groupsettings.File
}

// now returns the alarms, without those of the relay.
func (a *alarms) now() []alarm.Alarm {
	all := alarm.Certificates(time.Now(), a.certs.files()...)
	all = append(all, a.bounds.alarms()...)
	for _, part := range a.budget.NearlyFull() {
		all = append(all, alarm.Alarm{Name: alertBudgetFull, Text: fmt.Sprintf(
			"the memory for %s is nearly full; when it is, the edge refuses or closes clients: find the group or client with gotapi why, raise the memory limit, or add an edge", part)})
	}
	all = append(all, alarm.BrokenFile(groupsettings.FlagName, a.groups.Failure())...)
	return alarm.Of("edge "+a.host, all...)
}

// processes returns a function that reports the processes of /__/status: this edge, the
// history services whose addresses it knows, and the edges that those serve.
func processes(client *relay.Client, own *alarms) func(context.Context) gateway.Processes {
	return func(ctx context.Context) gateway.Processes {
		b := program.ReadBuild()
		all := gateway.Processes{
			Connected: client.Up(),
			Alarms:    own.now(),
			Services:  []gateway.ServiceProcess{},
			Edges:     []gateway.EdgeProcess{{ID: edgeID(client.Edge()), Host: own.host, Version: b.Version, Commit: b.Commit}},
		}
		if !all.Connected {
			all.Alarms = append(all.Alarms, alarm.Of("edge "+own.host, alarm.Alarm{Name: alertWithoutHistory, Text: "no history service (" + client.Cause(ctx) +
				"), so members get nothing and publications are refused: start one, or correct -history"})...)
		}
		for _, s := range client.Services(ctx) {
			all.Services = append(all.Services, gateway.ServiceProcess{
				Address: s.Address, Host: s.Host, Version: s.Version, Commit: s.Commit, Silent: s.Silent, Streams: s.Streams,
			})
			all.Alarms = append(all.Alarms, s.Alarms...)
			addEdges(&all, client.Edge(), s.Edges)
		}
		all.Alarms = append(all.Alarms, versionAlarms(&all)...)
		return all
	}
}

// addEdges adds the other edges that a history service serves.
func addEdges(all *gateway.Processes, ours uint64, edges []historyconn.Edge) {
	for _, e := range edges {
		if e.ID == ours {
			continue
		}
		all.Edges = append(all.Edges, gateway.EdgeProcess{ID: edgeID(e.ID), Host: e.Host, Version: e.Version, Commit: e.Commit})
		all.Alarms = append(all.Alarms, e.Alarms...)
	}
}

// versionAlarms names the first edge and history service whose versions may not meet.
func versionAlarms(all *gateway.Processes) []alarm.Alarm {
	for _, s := range all.Services {
		for _, e := range all.Edges {
			if !relayversion.MayMeet(e.Version, s.Version) {
				return []alarm.Alarm{{Name: alertVersions, Text: fmt.Sprintf(
					"edge %s runs %s and history service %s runs %s, which are more than one minor apart: update the older one",
					cmp.Or(e.Host, e.ID), e.Version, cmp.Or(s.Host, s.Address), s.Version)}}
			}
		}
	}
	return nil
}
