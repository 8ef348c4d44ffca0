package gateway

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"

	"github.com/gotapi/gotapi-ws/access"
)

// TestTheHistoryServiceIsToldForWhomACallIs looks at what its audit log gets.
func TestTheHistoryServiceIsToldForWhomACallIs(t *testing.T) {
	key, entry := access.NewAPIKey("backend")
	path := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(path, []byte(entry+"    act_as: '*'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	authorizer, err := access.New(access.Config{APIKeysFile: path}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	backend, err := authorizer.Identify(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	forAlice, err := backend.ActAs("alice")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		id          *access.Identity
		user, actAs []string
	}{
		{backend, []string{"backend"}, nil},
		{forAlice, []string{"backend"}, []string{"alice"}},
		{access.System(), nil, nil}, // nobody in particular
		{&access.Identity{}, nil, nil},
	} {
		md, _ := metadata.FromOutgoingContext(forCaller(access.NewContext(t.Context(), tt.id)))
		if diff := cmp.Diff([][]string{tt.user, tt.actAs}, [][]string{md[userKey], md[actAsKey]}); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.id.Name(), diff)
		}
	}
}
