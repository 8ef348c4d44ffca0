package conformance

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// bytesVector is what the entries of packets.json and groups.json have in
// common: the bytes as text, as hex, or as parts (a text and how often).
type bytesVector struct {
	Name  string
	Text  *string
	Hex   *string
	Parts [][2]any
}

func (v *bytesVector) bytes(t *testing.T) string {
	t.Helper()
	switch {
	case v.Text != nil:
		return *v.Text
	case v.Hex != nil:
		b, err := hex.DecodeString(*v.Hex)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		return string(b)
	}
	var b strings.Builder
	for _, p := range v.Parts {
		b.WriteString(strings.Repeat(p[0].(string), int(p[1].(float64))))
	}
	return b.String()
}

// readVectors reads a file of testdata/ at the top of the repository.
func readVectors[V any](t *testing.T, file string) []V {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testbed.Root(), "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var vs []V
	if err := json.Unmarshal(b, &vs); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(vs) == 0 {
		t.Fatalf("%s is empty", file)
	}
	return vs
}
