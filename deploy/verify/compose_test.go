package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// variants are the compose files that are used together.
var variants = map[string][]string{
	"plain":         {"docker-compose.yml"},
	"dev":           {"deploy/compose/dev.yml"},
	"tls":           {"docker-compose.yml", "deploy/compose/tls.yml"},
	"access":        {"docker-compose.yml", "deploy/compose/tls.yml", "deploy/compose/access.yml"},
	"redis-cluster": {"docker-compose.yml", "deploy/compose/redis-cluster.yml"},
	"observability": {"docker-compose.yml", "deploy/compose/observability.yml"},
	"all": {
		"docker-compose.yml", "deploy/compose/tls.yml", "deploy/compose/access.yml", "deploy/compose/redis-cluster.yml",
		"deploy/compose/observability.yml",
	},
}

var composeEnv = []string{"TLS_CERT=/dev/null", "SECRETS=/dev/null", "GRAFANA_PASSWORD=test", "PATH=" + os.Getenv("PATH")}

// load reads compose files as Compose v2 does.
func load(t *testing.T, files []string, env ...string) *types.Project {
	t.Helper()
	var paths []string
	for _, f := range files {
		paths = append(paths, filepath.Join(root, f))
	}
	options, err := cli.NewProjectOptions(paths, cli.WithName("verify"), cli.WithEnv(append(env, composeEnv...)))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("%q: %v", files, err)
	}
	return project
}

func TestComposeFilesAreReadByBothVersions(t *testing.T) {
	for name, files := range variants {
		project := load(t, files)
		if !has(t, "docker-compose") {
			t.Log("there is no docker-compose 1.29: read as Compose v2 does only")
			continue
		}
		args := []string{"--project-directory", root}
		for _, f := range files {
			args = append(args, "-f", filepath.Join(root, f))
		}
		code, out := run(t, composeEnv, "docker-compose", append(args, "config", "--services")...)
		if code != 0 {
			t.Errorf("%s: docker-compose config: %s", name, out)
			continue
		}
		seen := strings.Fields(out)
		if len(seen) == 0 {
			t.Errorf("%s: version 1 sees no service", name)
		}
		for _, service := range seen {
			if _, ok := project.Services[service]; !ok {
				t.Errorf("%s: version 1 sees a service %s, version 2 does not", name, service)
			}
		}
	}
}

func TestComposeSetsWhatTheProgramsKnow(t *testing.T) {
	for name, files := range variants {
		checked := 0
		for service, s := range load(t, files).Services {
			program, ours := strings.CutPrefix(strings.Split(s.Image, ":")[0], "gotapi/")
			if !ours {
				continue
			}
			env := map[string]string{}
			for k, v := range s.Environment {
				if v != nil && *v != "" {
					env[k] = *v
				}
			}
			checkSettings(t, name+", service "+service, program, env)
			checked++
		}
		if checked == 0 {
			t.Errorf("%s runs no image gotapi/...", name)
		}
	}
}

func TestContainersAreHardened(t *testing.T) {
	for name, files := range variants {
		for service, s := range load(t, files).Services {
			_, ours := strings.CutPrefix(s.Image, "gotapi/") // their images set the user
			for what, ok := range map[string]bool{
				"read-only root":          s.ReadOnly || service == "grafana", // it writes where it likes
				"a memory limit":          s.MemLimit > 0,
				"no capabilities":         len(s.CapDrop) == 1 && s.CapDrop[0] == "ALL" && len(s.CapAdd) == 0,
				"no privilege escalation": len(s.SecurityOpt) == 1 && s.SecurityOpt[0] == "no-new-privileges:true",
				"a user other than root":  ours || s.User != "" || service == "prometheus" || service == "grafana", // images that have one
			} {
				if !ok {
					t.Errorf("%s: %s lacks %s", name, service, what)
				}
			}
		}
	}
}

func TestEveryMountedFileIsThere(t *testing.T) {
	for name, files := range variants {
		for service, s := range load(t, files).Services {
			for _, v := range s.Volumes {
				if v.Type != types.VolumeTypeBind {
					continue
				}
				if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
					t.Errorf("%s: %s mounts %s (%v), read-only %v", name, service, v.Source, err, v.ReadOnly)
				}
			}
		}
	}
}

// TestNoPortIsOpenToOtherMachinesUnlessToldSo: BIND opens the front door, and nothing else.
func TestNoPortIsOpenToOtherMachinesUnlessToldSo(t *testing.T) {
	public := map[string]bool{"balancer 4998": true, "tls 8443": true, "tls 8080": true, "gotapi-ws 4998": true}
	for _, bind := range []string{"127.0.0.1", "0.0.0.0"} {
		env := []string{"BIND=" + bind}
		if bind == "127.0.0.1" {
			env = nil
		}
		for name, files := range variants {
			for service, s := range load(t, files, env...).Services {
				for _, p := range s.Ports {
					want := "127.0.0.1"
					if public[fmt.Sprintf("%s %d", service, p.Target)] {
						want = bind
					}
					if p.HostIP != want {
						t.Errorf("%s with BIND=%s: port %d of %s is published on %q, want %s", name, bind, p.Target, service, p.HostIP, want)
					}
				}
			}
		}
	}
}

func TestHAProxyUnderstandsItsConfigurations(t *testing.T) {
	need(t, "haproxy")
	dir := t.TempDir()
	cert, key, err := selfSigned(dir)
	if err != nil {
		t.Fatal(err)
	}
	pem := filepath.Join(dir, "server.pem")
	writeBoth(t, pem, cert, key)
	for _, file := range []string{"deploy/haproxy.cfg", "deploy/compose/haproxy-tls.cfg"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		here := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(here, []byte(strings.ReplaceAll(string(text), "/usr/local/etc/haproxy/server.pem", pem)), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out := run(t, append(os.Environ(), "TLS_PORT=8443"), "haproxy", "-c", "-f", here); code != 0 {
			t.Errorf("haproxy -c %s: %s", file, out)
		}
	}
}
