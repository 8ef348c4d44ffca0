package cli_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/cli"
)

// batchServer stores every packet, but for those that say no.
func batchServer(t *testing.T) (url string, sizes *[]int) {
	t.Helper()
	sizes = new([]int)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var results []string
		for line := range strings.Lines(string(body)) {
			result := fmt.Sprintf(`{"code":200,"group":"/a","stored":true,"uuid":"u%d","duplicate":false,"seq":1}`, len(results)+1)
			if strings.Contains(line, `"no"`) {
				result = `{"code":403,"group":"/a","msg":"not allowed"}`
			}
			results = append(results, result)
		}
		*sizes = append(*sizes, len(results))
		_, _ = io.WriteString(w, `{"code":200,"results":[`+strings.Join(results, ",")+`]}`)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, sizes
}

func TestPubBatch(t *testing.T) {
	const hello = `{"group":"/a","packet":"hello"}`
	for _, tt := range []struct {
		name, in, out, err string
		code               int
		sizes              []int
	}{
		{"lines", hello + "\n\n" + `{"groups":["/a","/b"],"packetBase64":"/w=="}` + "\n", "u1\nu2\nu3\n", "", 0, []int{3}},
		{"nothing", "\n", "", "", 0, nil},
		{"more than a request takes", strings.Repeat(hello+"\n", 1001), "", "", 0, []int{1000, 1}},
		{"a refused line", hello + "\n" + `{"group":"/a","packet":"no"}` + "\n" + hello, "u1\nu3\n", "line 2: not allowed", cli.ExitNotAllowed, []int{3}},
		{"a bad line", hello + "\n{}\n" + hello, "u1\n", "line 2: want group or groups", cli.ExitUsage, []int{1}},
		{"a bad group", `{"group":"a","packet":"x"}`, "", `line 1: group "a"`, cli.ExitUsage, nil},
		{"no packet", `{"group":"/a"}`, "", "line 1: want packet or packetBase64", cli.ExitUsage, nil},
		{"no JSON", "hello", "", "line 1: ", cli.ExitUsage, nil},
	} {
		url, sizes := batchServer(t)
		got := gotapi(t.Context(), nil, tt.in, "pub", "--batch", "-", "--url", url)
		if got.code != tt.code || !strings.Contains(got.err, tt.err) || tt.out != "" && got.out != tt.out {
			t.Errorf("%s: exit code %d, %q, %q; want %d, %q, %q", tt.name, got.code, got.out, got.err, tt.code, tt.out, tt.err)
		}
		if diff := cmp.Diff(tt.sizes, *sizes); diff != "" {
			t.Errorf("%s: packets of each request (-want +got):\n%s", tt.name, diff)
		}
	}
}
