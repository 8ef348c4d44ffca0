package conformance

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
)

// httpVector is one entry of testdata/http.json.
type httpVector struct {
	Name, Section string
	Steps         []struct {
		Request struct {
			Method, Target, Body string
			Headers              map[string]string
		}
		Answer struct {
			Status int
			JSON   json.RawMessage
			Text   string
		}
	}
}

func TestVectors_RequestsAndAnswers(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors[httpVector](t, "http.json") {
		t.Run(v.Section+" "+v.Name, func(t *testing.T) {
			t.Parallel()
			group := client.Group()
			fill := func(s string) string { return strings.ReplaceAll(s, "$G", group) }
			for i, step := range v.Steps {
				headers := make([]string, 0, len(step.Request.Headers))
				for name, value := range step.Request.Headers {
					headers = append(headers, name+": "+value)
				}
				got := client.Do(t, step.Request.Method, edge(i), fill(step.Request.Target), fill(step.Request.Body), headers...)
				what := fmt.Sprintf("step %d, %s %s %s", i, step.Request.Method, step.Request.Target, step.Request.Body)
				if got.Code != step.Answer.Status {
					t.Fatalf("%s: %d %s, want %d", what, got.Code, got.Body, step.Answer.Status)
				}
				if step.Answer.JSON == nil {
					if got.Body != step.Answer.Text {
						t.Errorf("%s: %q, want %q", what, got.Body, step.Answer.Text)
					}
					continue
				}
				var have, want any
				got.JSON(t, &have)
				if err := json.Unmarshal([]byte(fill(string(step.Answer.JSON))), &want); err != nil {
					t.Fatal(err)
				}
				if !matches(have, want) {
					t.Errorf("%s:\n got %s\nwant %s", what, got.Body, fill(string(step.Answer.JSON)))
				}
			}
		})
	}
}

// matches reports whether got is want, in which "$any" matches any string.
func matches(got, want any) bool {
	if want == "$any" {
		s, ok := got.(string)
		return ok && s != ""
	}
	w, ok := want.(map[string]any)
	if !ok {
		return reflect.DeepEqual(got, want)
	}
	g, ok := got.(map[string]any)
	if !ok || len(g) != len(w) {
		return false
	}
	for name, value := range w {
		if !matches(g[name], value) {
			return false
		}
	}
	return true
}
