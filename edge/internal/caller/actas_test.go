package caller_test

import (
	"errors"
	"log/slog"
	"net/http"
	"testing"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/caller"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func TestBackendsActForUsersOverHTTP(t *testing.T) {
	key, entry := access.NewAPIKey("shop")
	authorizer, err := access.New(access.Config{
		APIKeysFile: write(t, entry+"    act_as: [alice]\n"), Claim: "gotapi",
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	callers := caller.New(authorizer, func(string) bool { return false })
	id, err := callers.Identify(request(http.MethodPost, "X-API-Key", key, caller.ActAs, "alice"), false)
	if err != nil || id.By() != (stream.Author{Name: "alice"}) || id.Name() != "shop" {
		t.Fatalf("%+v, %v, want shop acting for alice", id, err)
	}
	for name, tt := range map[string]struct {
		headers []string
		upgrade bool
		status  int
	}{
		"another user":  {[]string{"X-API-Key", key, caller.ActAs, "bob"}, false, http.StatusForbidden},
		"two users":     {[]string{"X-API-Key", key, caller.ActAs, "alice", caller.ActAs, "alice"}, false, http.StatusBadRequest},
		"an empty one":  {[]string{"X-API-Key", key, caller.ActAs, ""}, false, http.StatusBadRequest},
		"no credential": {[]string{caller.ActAs, "alice"}, false, http.StatusUnauthorized},
		"a WebSocket":   {[]string{"X-API-Key", key, caller.ActAs, "alice"}, true, http.StatusBadRequest},
	} {
		_, err := callers.Identify(request(http.MethodPost, tt.headers...), tt.upgrade)
		var denied *access.DeniedError
		if !errors.As(err, &denied) || denied.Status != tt.status {
			t.Errorf("%s: %v, want status %d", name, err, tt.status)
		}
	}
}
