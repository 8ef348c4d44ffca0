package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

func TestTheTokenOpensEveryWay(t *testing.T) {
	t.Parallel()
	const key = "gotapi_KEYOFTHETESTSKEYOFTHETESTSKEYOFTHETESTSKEYOFTHET"
	sum := sha256.Sum256([]byte(key))
	dir := t.TempDir()
	keys, token := filepath.Join(dir, "keys.yaml"), filepath.Join(dir, "token")
	for path, text := range map[string]string{
		token: key + "\n",
		keys: "keys:\n  - name: tests\n    sha256: " + hex.EncodeToString(sum[:]) +
			"\n    join: [\"/room/**\"]\n    publish: [\"/room/**\"]\n    read: [\"/room/**\"]\n    recall: any\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := testbed.StartAllInOne(t, "-auth-api-keys-file", keys)
	for scheme, url := range map[string]string{"http": "http://" + p.Addr, "ws": "ws://" + p.Addr, "grpc": "grpc://" + p.GRPC} {
		group := "/room/" + scheme
		for _, args := range [][]string{{"pub", group, "x"}, {"sub", group, "--for", "5s"}, {"history", group}, {"cancel", group, "u"}} {
			code, _, stderr := run(t, command(t, append(args, "--url", url)...))
			if code != 4 {
				t.Errorf("%s: gotapi %s without a token: exit code %d, want 4: %s", scheme, args[0], code, stderr)
			}
		}
		with := []string{"--url", url, "--token-file", token}
		uuid := must(t, append([]string{"pub", group, "first"}, with...)...)
		must(t, append([]string{"pub", group, "second"}, with...)...)
		got := must(t, append([]string{"sub", group, "--after", uuid[0], "-n", "1", "--raw"}, with...)...)
		if len(got) != 1 || !strings.Contains(got[0], "second") {
			t.Errorf("%s: sub with the token: %q", scheme, got)
		}
		must(t, append([]string{"cancel", group, uuid[0]}, with...)...)
		if code, _, stderr := run(t, command(t, append([]string{"pub", "/elsewhere", "x"}, with...)...)); code != 4 {
			t.Errorf("%s: publish where there is no right: exit code %d, want 4: %s", scheme, code, stderr)
		}
	}
}
