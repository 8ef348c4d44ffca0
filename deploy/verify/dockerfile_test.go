package verify

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var usedModule = regexp.MustCompile(`(?m)^\t\./(\S+)$`)

func TestTheDockerfileCopiesEveryModuleOfTheWorkspace(t *testing.T) {
	workspace, err := os.ReadFile(root + "/go.work")
	if err != nil {
		t.Fatal(err)
	}
	dockerfile, err := os.ReadFile(root + "/deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	modules := usedModule.FindAllStringSubmatch(string(workspace), -1)
	if len(modules) < 5 {
		t.Fatalf("found %d modules in go.work", len(modules))
	}
	for _, m := range modules {
		module := m[1]
		want := "COPY " + module + "/go.mod "
		if _, err := os.Stat(root + "/" + module + "/go.sum"); err == nil {
			want += module + "/go.sum "
		}
		if !strings.Contains(string(dockerfile), want+module+"/\n") {
			t.Errorf("deploy/Dockerfile lacks %s%s/", want, module)
		}
	}
}
