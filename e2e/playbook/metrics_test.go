// Package playbook tries the failure playbook of docs/operations.md on real
// processes: the symptom is made, the metric shows it, the action ends it.
package playbook

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m, nil) }

// system is one edge, one history service and Redis, with their metrics.
type system struct {
	*testbed.System
	t                   *testing.T
	edgeOps, historyOps string
	addr, group         string
}

func start(t *testing.T, cfg testbed.Config) *system {
	t.Helper()
	s := &system{t: t, edgeOps: testbed.FreeAddr(t), historyOps: testbed.FreeAddr(t), group: client.Group()}
	cfg.Store = testbed.Single
	cfg.EdgeArgs = append(cfg.EdgeArgs, "-ops-listen", s.edgeOps)
	cfg.ServiceArgs = append(cfg.ServiceArgs, "-ops-listen", s.historyOps)
	s.System = testbed.Start(t, cfg)
	s.addr = s.Edges[0].Addr
	return s
}

// edge and history return a metric, named with its labels as Prometheus writes them.
func (s *system) edge(name string) float64    { return metric(s.t, s.edgeOps, name) }
func (s *system) history(name string) float64 { return metric(s.t, s.historyOps, name) }

func metric(t *testing.T, ops, name string) float64 {
	t.Helper()
	all, err := testbed.Metrics(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	v, ok := all[name]
	if !ok {
		t.Fatalf("there is no metric %s on %s", name, ops)
	}
	return v
}

// eventually waits until a figure is as it should be.
func (s *system) eventually(what string, figure func() float64, ok func(float64) bool) {
	s.t.Helper()
	testbed.Eventually(s.t, what, func(context.Context) error {
		if v := figure(); !ok(v) {
			return fmt.Errorf("it is %v", v)
		}
		return nil
	})
}

func is(want float64) func(float64) bool   { return func(v float64) bool { return v == want } }
func atLeast(n float64) func(float64) bool { return func(v float64) bool { return v >= n } }
func (s *system) post(uuid string) int     { return s.postText(client.Data(uuid, "hello")) }
func (s *system) postText(packet string) int {
	s.t.Helper()
	return client.Do(s.t, http.MethodPost, s.addr, s.group, packet).Code
}

// works waits until messages are stored again.
func (s *system) works(uuid string) {
	s.t.Helper()
	testbed.Eventually(s.t, "a message is stored", func(context.Context) error {
		if code := s.post(uuid); code != http.StatusOK {
			return fmt.Errorf("code %d", code)
		}
		return nil
	})
}

// alarms returns what GET /__/status says is wrong, as "name: text".
func (s *system) alarms() (all []string) {
	s.t.Helper()
	answer := client.Do(s.t, http.MethodGet, s.addr, "/__/status", "", "Authorization: Bearer "+testbed.AdminSecret)
	var status struct{ Alarms []struct{ Name, Text string } }
	answer.JSON(s.t, &status)
	for _, a := range status.Alarms {
		all = append(all, a.Name+": "+a.Text)
	}
	return all
}

// wantAlarm waits until the only alarms have that name; "": there are none.
func (s *system) wantAlarm(name string) {
	s.t.Helper()
	testbed.Eventually(s.t, "the alarm is "+name, func(context.Context) error {
		all := s.alarms()
		wrong := (name == "") != (len(all) == 0)
		for _, a := range all {
			wrong = wrong || !strings.HasPrefix(a, name+": ")
		}
		if wrong {
			return fmt.Errorf("there are %q", all)
		}
		return nil
	})
}

// ready returns the status of /readyz of a process.
func ready(t *testing.T, ops string) int {
	t.Helper()
	return client.Do(t, http.MethodGet, ops, "/readyz", "").Code
}
