package cli

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEachEdgeOfANameIsAskedOnce(t *testing.T) {
	for address, want := range map[string][]string{
		"http://127.0.0.1:9090": {"127.0.0.1:9090"},
		"http://127.0.0.1":      {"127.0.0.1:80"},
		"http://[::1]:9090":     {"[::1]:9090"},
		"http://localhost:9090": {"127.0.0.1:9090"}, // often ::1 as well
		"https://edge.example":  {"edge.example"},
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		got, err := opsHosts(t.Context(), u)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s (-want +got): %v\n%s", address, err, diff)
		}
	}
}
