package verify

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestTheReleaseHasOneVersion: scripts/release-version.sh writes it everywhere.
func TestTheReleaseHasOneVersion(t *testing.T) {
	type versioned struct {
		Version string `json:"version"`
	}
	chart, err := loader.Load(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{"appVersion of the chart": chart.Metadata.AppVersion}
	var lock struct {
		Packages map[string]versioned `json:"packages"`
	}
	readJSON(t, "clients/js/package-lock.json", &lock)
	for _, name := range []string{"packages/gotapi-ws", "packages/node-gotapi-ws"} {
		var manifest versioned
		readJSON(t, "clients/js/"+name+"/package.json", &manifest)
		found[name], found[name+" in package-lock.json"] = manifest.Version, lock.Packages[name].Version
	}
	for where, version := range found {
		if version != chart.Metadata.Version {
			t.Errorf("%s is %q, the chart has version %q: run scripts/release-version.sh", where, version, chart.Metadata.Version)
		}
	}
	changelog, err := os.ReadFile(root + "/CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, rest, ok := strings.Cut(string(changelog), "\n## "+chart.Metadata.Version+" - "); !ok {
		t.Errorf("CHANGELOG.md has no section for version %s", chart.Metadata.Version)
	} else if section, _, _ := strings.Cut(rest, "\n## "); strings.Count(section, "\n") > 30 {
		t.Errorf("the section of CHANGELOG.md for %s has more than 30 lines", chart.Metadata.Version)
	}
}
