package gateway

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/proto"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// A parameter that is read is refused when it is given twice; others are ignored.
func TestEveryParameterOfTheOpenAPIDocumentIsRead(t *testing.T) {
	var document struct {
		Paths map[string]map[string]struct{ Parameters []struct{ Name, In string } }
	}
	if err := json.Unmarshal(proto.OpenAPI, &document); err != nil {
		t.Fatal(err)
	}
	rig := newRig(t, Options{AdminSecret: "s"})
	rig.history.page = func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
		return &historyv1.GetHistoryResponse{Code: 200}, nil
	}
	others := map[string]string{"groupName": "/a", "uuid": "u", "ttl": "5"}
	listed := 0
	for path, methods := range document.Paths {
		for method, operation := range methods {
			for _, p := range operation.Parameters {
				if p.In != "query" {
					continue
				}
				listed++
				query := p.Name + "=1&" + p.Name + "=1"
				for name, value := range others {
					if name != p.Name {
						query += "&" + name + "=" + value
					}
				}
				got := rig.do(strings.ToUpper(method), path+"?"+query, "", "Authorization: Bearer s")
				if want := p.Name + ": given more than once"; got.code != 400 || !strings.Contains(got.body, want) {
					t.Errorf("%s %s: %s twice: got %d %s, want 400 and %q", method, path, p.Name, got.code, got.body, want)
				}
			}
		}
	}
	if listed == 0 {
		t.Error("the document lists no parameters")
	}
}
