package verify

import (
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const openAPIFile = "proto/openapi.json"

// openAPIContent is the body of a request or an answer, by type.
type openAPIContent map[string]struct {
	Schema struct {
		Ref string `json:"$ref"`
	}
	Example  any
	Examples map[string]struct{ Value any }
}

func TestTheOpenAPIDocumentHasAGoodExampleOfEveryAnswer(t *testing.T) {
	var document struct {
		Paths map[string]map[string]struct {
			RequestBody struct{ Content openAPIContent }
			Responses   map[string]struct {
				Ref     string `json:"$ref"`
				Content openAPIContent
			}
		}
		Components struct {
			Responses map[string]struct{ Content openAPIContent }
			Schemas   map[string]struct{ Examples []any }
		}
	}
	readJSON(t, openAPIFile, &document)
	var whole any
	readJSON(t, openAPIFile, &whole)
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", whole); err != nil {
		t.Fatal(err)
	}
	// at is where a schema is in the document.
	check := func(at string, example any) {
		t.Helper()
		schema, err := compiler.Compile("openapi.json" + at)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(example); err != nil {
			t.Errorf("the example of %s: %v", at, err)
		}
	}
	const schemas = "#/components/schemas/"
	for name, s := range document.Components.Schemas {
		for _, example := range s.Examples {
			check(schemas+name, example)
		}
	}
	// content checks the JSON of a body, and that it has an example if it must.
	content := func(at string, types openAPIContent, must bool) {
		t.Helper()
		body, ok := types["application/json"]
		found := len(document.Components.Schemas[strings.TrimPrefix(body.Schema.Ref, schemas)].Examples) > 0
		examples := []any{body.Example}
		for _, e := range body.Examples {
			examples = append(examples, e.Value)
		}
		for _, e := range examples {
			if e != nil {
				found = true
				check(at+"/content/application~1json/schema", e)
			}
		}
		if ok && must && !found {
			t.Errorf("%s has no example", at)
		}
	}
	for name, r := range document.Components.Responses {
		content("#/components/responses/"+name, r.Content, true)
	}
	for path, operations := range document.Paths {
		for method, operation := range operations {
			at := "#/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + method
			content(at+"/requestBody", operation.RequestBody.Content, false)
			if len(operation.Responses) < 2 || operation.Responses["default"].Ref == "" {
				t.Errorf("%s has the answers %v, want one and errors", at, operation.Responses)
			}
			for code, r := range operation.Responses {
				content(at+"/responses/"+code, r.Content, true)
			}
		}
	}
}
