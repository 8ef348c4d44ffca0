package gateway

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/proto"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// openAPI is the part of the document that the tests hold against the Handler.
type openAPI struct {
	Paths      map[string]map[string]operation
	Components struct {
		Parameters map[string]parameter
		Responses  map[string]response
		Schemas    map[string]schema
	}
}

type operation struct {
	Parameters  []parameter
	RequestBody struct {
		// By media type.
		Content map[string]struct{ Example any }
	}
	Responses map[string]response
}

type parameter struct {
	Ref      string `json:"$ref"`
	Name, In string
	Required bool
}

type response struct {
	Ref     string `json:"$ref"`
	Content map[string]struct{ Schema schema }
}

type schema struct {
	Ref        string `json:"$ref"`
	AnyOf      []schema
	Required   []string
	Properties map[string]any
}

func readOpenAPI(t *testing.T) (document openAPI) {
	t.Helper()
	if err := json.Unmarshal(proto.OpenAPI, &document); err != nil {
		t.Fatal(err)
	}
	return document
}

// lastPart of a reference is the name under which the component is.
func lastPart(ref string) string { return ref[strings.LastIndex(ref, "/")+1:] }

func (d *openAPI) parameters(o operation) []parameter {
	var all []parameter
	for _, p := range o.Parameters {
		if p.Ref != "" {
			p = d.Components.Parameters[lastPart(p.Ref)]
		}
		all = append(all, p)
	}
	return all
}

func (d *openAPI) schema(o operation, code string) schema {
	r := o.Responses[code]
	if r.Ref != "" {
		r = d.Components.Responses[lastPart(r.Ref)]
	}
	s := r.Content["application/json"].Schema
	if len(s.AnyOf) > 0 {
		s = s.AnyOf[0] // what the request of a rig is answered with
	}
	return d.Components.Schemas[lastPart(s.Ref)]
}

// queryOf gives each parameter a value that is right, but leaves one out.
func queryOf(parameters []parameter, without string) string {
	query := ""
	for _, p := range parameters {
		if value, ok := map[string]string{"groupName": "/a", "uuid": "u", "ttl": "5"}[p.Name]; ok && p.Name != without {
			query += "&" + p.Name + "=" + value
		}
	}
	return strings.TrimPrefix(query, "&")
}

func newOpenAPIRig(t *testing.T) *rig {
	t.Helper()
	rig := newRig(t, Options{AdminSecrets: secrets("s")})
	rig.history.page = func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
		return &historyv1.GetHistoryResponse{Code: 200, Next: new(int32)}, nil
	}
	rig.history.recall = func(context.Context, *relayv1.RecallRequest) (*relayv1.RecallResponse, error) {
		return &relayv1.RecallResponse{}, nil
	}
	rig.history.ttl = func(context.Context, *historyv1.SetTTLRequest) (*historyv1.SetTTLResponse, error) {
		return &historyv1.SetTTLResponse{Code: 200}, nil
	}
	rig.history.groups = func(context.Context, *historyv1.ListGroupsRequest) (*historyv1.ListGroupsResponse, error) {
		return &historyv1.ListGroupsResponse{Code: 200}, nil
	}
	return rig
}

// request makes the request of an operation, as an administrator who wants JSON.
func (r *rig) request(method, path, query string, headers ...string) answer {
	r.t.Helper()
	body := ""
	if method == "post" {
		body = data
	}
	headers = append(headers, "Authorization: Bearer s", "Accept: application/json", "Content-Type: application/json")
	return r.do(strings.ToUpper(method), path+"?"+query, body, headers...)
}

func TestOpenAPIDocumentHasEveryEndpoint(t *testing.T) {
	documented := make(map[string][]string)
	for path, operations := range readOpenAPI(t).Paths {
		for method := range operations {
			documented[path] = append(documented[path], strings.ToUpper(method))
		}
		slices.Sort(documented[path])
	}
	served := make(map[string][]string)
	for path, e := range newOpenAPIRig(t).handler.(*Handler).endpoints {
		if e.label == "console" || e.label == "version" { // what people look at
			continue
		}
		served[path] = slices.DeleteFunc(slices.Sorted(slices.Values(e.methods)), func(m string) bool { return m == "HEAD" })
	}
	if diff := cmp.Diff(served, documented); diff != "" {
		t.Errorf("endpoints, -served +documented:\n%s", diff)
	}
}

// A parameter that is read is refused when it is given twice; others are ignored.
func TestEveryParameterOfTheOpenAPIDocumentIsRead(t *testing.T) {
	document, rig := readOpenAPI(t), newOpenAPIRig(t)
	listed := 0
	for path, operations := range document.Paths {
		for method, operation := range operations {
			parameters := document.parameters(operation)
			for _, p := range parameters {
				listed++
				rest := queryOf(parameters, p.Name)
				if p.In == "header" {
					twice := rig.request(method, path, rest, p.Name+": a", p.Name+": a")
					if want := p.Name + " must be there once"; twice.code != 400 || !strings.Contains(twice.body, want) {
						t.Errorf("%s %s: %s twice: got %d %s, want 400 and %q", method, path, p.Name, twice.code, twice.body, want)
					}
					continue
				}
				if p.In != "query" {
					t.Errorf("%s %s: %s is in %q, want query or header", method, path, p.Name, p.In)
				}
				twice := rig.request(method, path, p.Name+"=1&"+p.Name+"=1&"+rest)
				if want := p.Name + ": given more than once"; twice.code != 400 || !strings.Contains(twice.body, want) {
					t.Errorf("%s %s: %s twice: got %d %s, want 400 and %q", method, path, p.Name, twice.code, twice.body, want)
				}
				missing := rig.request(method, path, rest)
				if path == "/__/publish" { // a batch names its groups itself
					missing = rig.do("POST", path, lineOf("/a", "u"), ndjson)
				}
				if (missing.code == 400) != p.Required {
					t.Errorf("%s %s without %s: got %d %s, but required is %t", method, path, p.Name, missing.code, missing.body, p.Required)
				}
			}
		}
	}
	if listed == 0 {
		t.Error("the document lists no parameters")
	}
}

func TestTheBatchOfTheOpenAPIDocumentIsAnswered(t *testing.T) {
	document, rig := readOpenAPI(t), newOpenAPIRig(t)
	example, _ := document.Paths["/__/publish"]["post"].RequestBody.Content[contentTypeLines].Example.(string)
	got := rig.do("POST", "/__/publish", example+"{}", ndjson)
	wantSchema(t, "the batch", got.body, document.Components.Schemas["BatchPublished"])
	var answer struct{ Results []json.RawMessage }
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || len(answer.Results) != 4 {
		t.Errorf("got %s, want 4 results", got.body)
	}
	for _, result := range answer.Results {
		wantSchema(t, "a result", string(result), document.Components.Schemas["BatchResult"])
	}
}

func TestAnswersAreThoseOfTheOpenAPIDocument(t *testing.T) {
	document, rig := readOpenAPI(t), newOpenAPIRig(t)
	for path, operations := range document.Paths {
		for method, operation := range operations {
			good := rig.request(method, path, queryOf(document.parameters(operation), ""))
			if good.code != 200 {
				t.Errorf("%s %s: got %d %s, want 200", method, path, good.code, good.body)
			}
			if _, streams := operation.Responses["200"].Content["text/event-stream"]; streams {
				if got := good.header.Get("Content-Type"); got != "text/event-stream" {
					t.Errorf("%s %s: Content-Type %q, want that of a stream", method, path, got)
				}
			} else {
				wantSchema(t, method+" "+path, good.body, document.schema(operation, "200"))
			}
			bad := rig.request("delete", path, "")
			wantSchema(t, "DELETE "+path, bad.body, document.schema(operation, "default"))
		}
	}
}

// wantSchema checks that an object has the keys that s requires, and no others than s names.
func wantSchema(t *testing.T, name, body string, s schema) {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(body), &object); err != nil {
		t.Errorf("%s: %v in %s", name, err, body)
		return
	}
	if len(s.Required) == 0 {
		t.Errorf("%s: the document has no schema for %s", name, body)
	}
	for _, key := range s.Required {
		if _, ok := object[key]; !ok {
			t.Errorf("%s: %s has no %q", name, body, key)
		}
	}
	for key := range maps.Keys(object) {
		if _, ok := s.Properties[key]; !ok {
			t.Errorf("%s: %s has %q, of which the document says nothing", name, body, key)
		}
	}
}
