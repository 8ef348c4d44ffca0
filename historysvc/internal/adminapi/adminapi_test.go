package adminapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/historysvc/internal/adminapi"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/services/alarm"
	"github.com/gotapi/gotapi-ws/services/program"
)

// failing is a store that fails between two questions, with an edge that says so.
type failing struct {
	history.Admin
	history.Census
}

func (failing) Condition(context.Context) (history.Condition, error) {
	return history.Condition{Kind: "redis", Alarms: []history.Alarm{{Name: "GotapiRedisRefuses", Text: "full"}}}, nil
}

func (failing) Edges(context.Context, int) ([]history.Edge, error) {
	return nil, fmt.Errorf("%w: gone", history.ErrUnavailable)
}

type fleet struct{}

func (fleet) Edges() []*relayv1.Edge {
	return []*relayv1.Edge{{Edge: 0xab, Alarms: []*relayv1.Alarm{{Name: "GotapiEdgeBudgetFull", Text: "full"}}}}
}
func (fleet) Alarms() []alarm.Alarm { return nil }
func (fleet) Host() string          { return "h:5998" }

// TestStatusAnswersAlthoughTheMembersCannotBeCounted: what is known until then is what
// explains the failure.
func TestStatusAnswersAlthoughTheMembersCannotBeCounted(t *testing.T) {
	s := adminapi.New(failing{}, failing{}, fleet{}, nil, program.Build{}, slog.New(slog.DiscardHandler))
	got, err := s.GetStatus(access.NewContext(t.Context(), access.System()), &adminv1.GetStatusRequest{})
	if err != nil || got.GetStore() != nil || len(got.GetEdges()) != 1 {
		t.Fatalf("%v, %v; want an answer without a store, with the edge", got, err)
	}
	var names []string
	for _, a := range got.GetAlarms() {
		names = append(names, a.GetName())
	}
	if all := strings.Join(names, " "); all != "GotapiRedisRefuses GotapiRedisDown GotapiEdgeBudgetFull" {
		t.Errorf("alarms %s", all)
	}
}
