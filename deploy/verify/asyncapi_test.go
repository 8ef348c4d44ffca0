package verify

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const asyncAPIFile = "proto/asyncapi.json"

// asyncAPI is the document of gotapi.v2.
type asyncAPI struct {
	Components struct {
		Messages map[string]struct {
			Packet   string `json:"x-packet"`
			Examples []struct{ Payload map[string]any }
		}
		Schemas map[string]struct {
			Properties map[string]struct{ Const any }
		}
	}
	compiler *jsonschema.Compiler
}

func readAsyncAPI(t *testing.T) *asyncAPI {
	t.Helper()
	d := &asyncAPI{compiler: jsonschema.NewCompiler()}
	readJSON(t, asyncAPIFile, d)
	var whole any
	readJSON(t, asyncAPIFile, &whole)
	d.compiler.DefaultDraft(jsonschema.Draft7)
	if err := d.compiler.AddResource("asyncapi.json", whole); err != nil {
		t.Fatal(err)
	}
	return d
}

// fits returns how an object differs from a schema. Keys that it does not name are differences,
// though clients ignore them.
func (d *asyncAPI) fits(t *testing.T, schema string, object map[string]any) error {
	t.Helper()
	s, err := d.compiler.Compile("asyncapi.json#/components/schemas/" + schema)
	if err != nil {
		t.Fatal(err)
	}
	for key := range object {
		if _, ok := d.Components.Schemas[schema].Properties[key]; !ok {
			t.Errorf("the schema %s has no key %q", schema, key)
		}
	}
	return s.Validate(object)
}

// v2Vector is an entry of testdata/v2.json.
type v2Vector struct {
	Name, To          string
	Text, Hex         string
	Request           map[string]any
	Answer, Event     map[string]any
	Packet, PacketHex *string
	Error             bool
}

func (v v2Vector) carries() bool { return v.Packet != nil || v.PacketHex != nil }

func readV2Vectors(t *testing.T) (all struct{ Requests, Answers, Events []v2Vector }) {
	t.Helper()
	readJSON(t, "testdata/v2.json", &all)
	if len(all.Requests) == 0 || len(all.Answers) == 0 || len(all.Events) == 0 {
		t.Fatal("no vectors")
	}
	return all
}

// answerSchemas are those of what a request may get, but refused, by its do.
var answerSchemas = map[string]string{"": "done", "join": "joined", "publish": "stored", "history": "page", "token": "renewed"}

func TestVectorsFitTheAsyncAPIDocument(t *testing.T) {
	d, vectors := readAsyncAPI(t), readV2Vectors(t)
	check := func(v v2Vector, schema string, object map[string]any) {
		t.Helper()
		if err := d.fits(t, schema, object); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		if documented := d.Components.Messages[schema].Packet == "required"; documented != v.carries() {
			t.Errorf("%s: carries a packet: %t, but the document says %t", v.Name, v.carries(), documented)
		}
	}
	for _, v := range vectors.Requests {
		if !v.Error {
			check(v, v.Request["do"].(string), v.Request) //nolint:forcetypeassert,errcheck // a vector with another do is a fault
		}
	}
	for _, v := range vectors.Answers {
		schema := answerSchemas[v.To]
		if code, ok := v.Answer["code"].(float64); ok && code != 200 {
			schema = "refused"
		}
		check(v, schema, v.Answer)
	}
	for _, v := range vectors.Events {
		check(v, v.Event["on"].(string), v.Event) //nolint:forcetypeassert,errcheck // likewise
	}
}

// Requests that the server refuses because of one value do not fit the document either.
func TestRefusedVectorsDoNotFitTheAsyncAPIDocument(t *testing.T) {
	d, refused := readAsyncAPI(t), 0
	for _, v := range readV2Vectors(t).Requests {
		var object map[string]any
		if !v.Error || json.Unmarshal([]byte(v.Text), &object) != nil {
			continue
		}
		do, _ := object["do"].(string)
		if _, ok := d.Components.Schemas[do]; !ok || slices.Contains(beyondSchemas, v.Name) || strings.Contains(v.Name, "repeated") {
			continue
		}
		refused++
		s, err := d.compiler.Compile("asyncapi.json#/components/schemas/" + do)
		if err != nil {
			t.Fatal(err)
		}
		if s.Validate(object) == nil {
			t.Errorf("%s: %s fits", v.Name, v.Text)
		}
	}
	if refused < 10 {
		t.Errorf("%d vectors were checked, want 10 or more", refused)
	}
}

// beyondSchemas are vectors whose faults no schema of a header shows.
var beyondSchemas = []string{
	"join a reserved path", "a group with half a surrogate pair", "publish without a packet", "history before and after",
	"cut off by a line feed",
	"an id with a fraction", "an id with an exponent", // 1.0 is an integer to JSON Schema
}

func TestAsyncAPIExamplesFitTheirSchemas(t *testing.T) {
	d, found := readAsyncAPI(t), 0
	for name, m := range d.Components.Messages {
		for _, e := range m.Examples {
			found++
			if err := d.fits(t, name, e.Payload); err != nil {
				t.Errorf("the example of %s: %v", name, err)
			}
		}
	}
	if found == 0 {
		t.Error("the document has no examples")
	}
}

var (
	goDo    = regexp.MustCompile(`\b[A-Z]\w+:\s*"(\w+)"`)
	goKey   = regexp.MustCompile(`\bkey[A-Z]\w*:\s*"(\w+)"`)
	goOn    = regexp.MustCompile(`appendOn\(dst, "(\w+)"|\{"on":"(\w+)"`)
	goReply = regexp.MustCompile("[`{,]\"(\\w+)\":")
)

// What wire/header reads and writes is in the document, and nothing else.
func TestTheAsyncAPIDocumentHasWhatTheCodecHas(t *testing.T) {
	d := readAsyncAPI(t)
	code := make(map[string]string)
	for _, name := range []string{"request.go", "append.go"} {
		b, err := os.ReadFile(root + "/wire/header/" + name)
		if err != nil {
			t.Fatal(err)
		}
		code[name] = string(b)
	}
	found := func(re *regexp.Regexp, file string) (all []string) {
		for _, m := range re.FindAllStringSubmatch(code[file], -1) {
			all = append(all, strings.Join(m[1:], ""))
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	var dos, ons, keys []string
	for _, s := range d.Components.Schemas {
		for key, property := range s.Properties {
			keys = append(keys, key)
			if name, ok := property.Const.(string); ok && key == "do" {
				dos = append(dos, name)
			} else if ok && key == "on" {
				ons = append(ons, name)
			}
		}
	}
	slices.Sort(dos)
	slices.Sort(ons)
	slices.Sort(keys)
	codecDos := slices.DeleteFunc(found(goDo, "request.go"), func(s string) bool { return s == "unknown" })
	if !slices.Equal(codecDos, dos) {
		t.Errorf("do: the codec has %q, the document %q", codecDos, dos)
	}
	if codec := found(goOn, "append.go"); !slices.Equal(codec, ons) {
		t.Errorf("on: the codec has %q, the document %q", codec, ons)
	}
	codecKeys := append(found(goKey, "request.go"), found(goReply, "append.go")...)
	slices.Sort(codecKeys)
	if codec, document := slices.Compact(codecKeys), slices.Compact(keys); !slices.Equal(codec, document) {
		t.Errorf("keys: the codec has %q, the document %q", codec, document)
	}
}

var documentReference = regexp.MustCompile(`"\$ref": "#/([^"]+)"`)

func TestReferencesOfTheAsyncAPIDocumentAreGood(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, asyncAPIFile))
	if err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	readJSON(t, asyncAPIFile, &whole)
	for _, m := range documentReference.FindAllStringSubmatch(string(b), -1) {
		var at any = whole
		for part := range strings.SplitSeq(m[1], "/") {
			object, _ := at.(map[string]any)
			at = object[part]
		}
		if at == nil {
			t.Errorf("nothing is at %s", m[1])
		}
	}
}
