package verify

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// edgeLimits must be in every file that ships an edge; addressLimits where the edge knows its
// clients' addresses, since all clients of a proxy that is not trusted have one.
var (
	edgeLimits    = []string{"GOTAPI_LIMIT_USER_CONNECTIONS", "GOTAPI_LIMIT_CONNECTION_MESSAGES", "GOTAPI_LIMIT_CONNECTION_BYTES"}
	addressLimits = []string{"GOTAPI_LIMIT_ADDRESS_CONNECTIONS", "GOTAPI_LIMIT_ADDRESS_TCP"}
)

// checkLimits fails the test unless one client, and groups that nobody uses, are bounded.
func checkLimits(t *testing.T, where, program string, env map[string]string) {
	t.Helper()
	want := edgeLimits
	switch {
	case program == "historysvc":
		if d, err := time.ParseDuration(env["GOTAPI_HISTORY_RETENTION"]); err != nil || d <= 0 {
			t.Errorf("%s: groups never expire: GOTAPI_HISTORY_RETENTION=%s", where, env["GOTAPI_HISTORY_RETENTION"])
		}
		return
	case env["GOTAPI_TRUSTED_PROXIES"] != "":
		want = append(append([]string(nil), edgeLimits...), addressLimits...)
	}
	for _, name := range want {
		if n, err := strconv.Atoi(env[name]); err != nil || n <= 0 {
			t.Errorf("%s: no limit: %s=%s", where, name, env[name])
		}
	}
}

// TestShippedFilesLimitWhatOneClientMayDo: everyone can reach what they start.
func TestShippedFilesLimitWhatOneClientMayDo(t *testing.T) {
	checked := 0
	for name, files := range variants {
		for service, s := range load(t, files).Services {
			program, ours := strings.CutPrefix(strings.Split(s.Image, ":")[0], "gotapi/")
			if !ours || program == "gotapi-ws" { // the one for development keeps nothing
				continue
			}
			env := map[string]string{}
			for k, v := range s.Environment {
				if v != nil {
					env[k] = *v
				}
			}
			checkLimits(t, name+", "+service, program, env)
			if program == "edge" && env["GOTAPI_MAX_CONNECTIONS"] == "" {
				t.Errorf("%s: %s takes any number of connections", name, service)
			}
			checked++
		}
	}
	for _, name := range services {
		env := environment(t, with(t), name)
		checkLimits(t, "deploy/helm, "+name, name, env)
		if name == "edge" && env["GOTAPI_MAX_CONNECTIONS"] == "" {
			t.Error("deploy/helm: the edge takes any number of connections")
		}
		_, unitEnv := unit(t, filepath.Join(units, "gotapi-"+name+".service"))
		if name == "historysvc" {
			unitEnv = exampleEnv(t, filepath.Join(units, name+".env.example"))
		}
		checkLimits(t, "deploy/systemd, "+name, name, unitEnv)
		checked += 2
	}
	if checked < 8 {
		t.Errorf("only %d programs were found", checked)
	}
}
