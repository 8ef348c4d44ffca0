package gateway

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	"github.com/gotapi/gotapi-ws/services/alarm"
)

// Alerts of docs/operations.md.
const (
	alertDown      = "GotapiDown"
	alertRedisDown = "GotapiRedisDown"
)

// Processes are those that the edge knows, and what is wrong with them.
type Processes struct {
	// Connected says that the edge has a stream to a history service.
	Connected bool
	// Services are the history services, but for one in this process.
	Services []ServiceProcess
	// Edges begin with this one.
	Edges  []EdgeProcess
	Alarms []alarm.Alarm
}

// ServiceProcess is a history service.
type ServiceProcess struct {
	// Address is where the edge reaches it.
	Address string `json:"address"`
	Host    string `json:"host"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
	// Silent: it does not answer.
	Silent bool `json:"silent"`
	// Streams is how many edges it serves.
	Streams int `json:"streams"`
}

// EdgeProcess is an edge.
type EdgeProcess struct {
	ID      string `json:"id"`
	Host    string `json:"host"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
}

type (
	statusReport struct {
		Code     int              `json:"code"`
		Store    storeReport      `json:"store"`
		Service  serviceReport    `json:"service"`
		Services []ServiceProcess `json:"services"`
		Edges    []edgeReport     `json:"edges"`
		Alarms   []alarm.Alarm    `json:"alarms"`
	}
	storeReport struct {
		Kind           string `json:"kind"`
		Version        string `json:"version"`
		Mode           string `json:"mode"`
		Nodes          int32  `json:"nodes"`
		UsedBytes      int64  `json:"usedBytes"`
		MaxBytes       int64  `json:"maxBytes"`
		EvictionPolicy string `json:"evictionPolicy"`
		EvictedKeys    int64  `json:"evictedKeys"`
		Clients        int64  `json:"clients"`
		Replicas       int64  `json:"replicas"`
		Uptime         int64  `json:"uptime"`
	}
	serviceReport struct {
		Host    string `json:"host"`
		Version string `json:"version"`
		Commit  string `json:"commit"`
		Uptime  int64  `json:"uptime"`
	}
	edgeReport struct {
		EdgeProcess
		Members int64 `json:"members"`
		Groups  int32 `json:"groups"`
	}
)

// reportStatus asks a history service and, meanwhile, all processes that the edge knows.
// If no history service answers, that is an alarm, not an error: operators ask because
// something is wrong.
func (h *Handler) reportStatus(ctx context.Context, r *adminv1.GetStatusRequest, opts ...grpc.CallOption) (*statusReport, error) {
	ctx, cancel := context.WithTimeout(ctx, servicesTimeout)
	defer cancel()
	known := make(chan Processes, 1)
	go func() { known <- h.backends.Processes(ctx) }()
	answer, err := h.backends.History.admin.GetStatus(ctx, r, opts...)
	processes := <-known
	switch status.Code(err) {
	case codes.OK:
		processes.Alarms = append(processes.Alarms, silentServices(processes.Services)...)
	case codes.Unavailable, codes.DeadlineExceeded:
		if processes.Connected {
			processes.Alarms = append(processes.Alarms, alarm.Alarm{Name: alertRedisDown, Text: "no history service is ready, though " +
				"they run: see the log of one, then bring Redis back"})
		}
	default:
		return nil, err
	}
	return newStatusReport(answer, &processes), nil
}

// silentServices says which history services are down, when another one answers. If none
// does, they may wait for the store.
func silentServices(all []ServiceProcess) (alarms []alarm.Alarm) {
	for _, s := range all {
		if s.Silent {
			alarms = append(alarms, alarm.Alarm{Name: alertDown, Text: "history service " + s.Address + " does not answer or is not ready: see its log, then restart it or remove its address from -history"})
		}
	}
	return alarms
}

func newStatusReport(r *adminv1.GetStatusResponse, processes *Processes) *statusReport {
	s, service := r.GetStore(), r.GetService()
	report := &statusReport{
		Code: http.StatusOK,
		Store: storeReport{
			s.GetKind(), s.GetVersion(), s.GetMode(), s.GetNodes(), s.GetUsedBytes(), s.GetMaxBytes(),
			s.GetEvictionPolicy(), s.GetEvictedKeys(), s.GetClients(), s.GetReplicas(), s.GetUptimeSeconds(),
		},
		Service:  serviceReport{service.GetHost(), service.GetVersion(), service.GetCommit(), service.GetUptimeSeconds()},
		Services: processes.Services,
		Edges:    mergeEdges(r.GetEdges(), processes.Edges),
		Alarms:   append([]alarm.Alarm{}, processes.Alarms...),
	}
	for _, a := range r.GetAlarms() {
		report.Alarms = append(report.Alarms, alarm.Alarm{Name: a.GetName(), Text: a.GetText()})
	}
	// A history service tells some of them to both calls.
	slices.SortFunc(report.Alarms, func(a, b alarm.Alarm) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Text, b.Text)) })
	report.Alarms = slices.Compact(report.Alarms)
	return report
}

// mergeEdges returns the edges that report members, and those that are known, by their
// ids.
func mergeEdges(reported []*adminv1.Edge, known []EdgeProcess) []edgeReport {
	byID := make(map[string]edgeReport, len(known))
	for _, e := range known {
		byID[e.ID] = edgeReport{EdgeProcess: e}
	}
	for _, e := range reported {
		one, ok := byID[e.GetId()]
		if !ok {
			one.EdgeProcess = EdgeProcess{e.GetId(), e.GetHost(), e.GetVersion(), e.GetCommit()}
		}
		one.Members, one.Groups = e.GetMembers(), e.GetGroups()
		byID[e.GetId()] = one
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b edgeReport) int { return cmp.Compare(a.ID, b.ID) })
}
