package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLicencesThatMayBeUsed(t *testing.T) {
	for _, tt := range []struct {
		licence        string
		shipped, built bool
	}{
		{"MIT", true, true},
		{"MPL-2.0", false, true},
		{"GPL-3.0-only", false, false},
		{"", false, false},
		{"MIT OR GPL-3.0-only", true, true},
		{"(GPL-3.0-only OR Apache-2.0)", true, true},
		{"MIT AND BSD-3-Clause", true, true},
		{"MIT AND GPL-3.0-only", false, false},
		{"MIT AND GPL-3.0-only OR ISC", false, false}, // too complex to decide
	} {
		if got := acceptable(part{licence: tt.licence, shipped: true}); got != tt.shipped {
			t.Errorf("%q in what users get: %v, want %v", tt.licence, got, tt.shipped)
		}
		if got := acceptable(part{licence: tt.licence}); got != tt.built {
			t.Errorf("%q to build with: %v, want %v", tt.licence, got, tt.built)
		}
	}
	err := check([]part{{purl: "pkg:npm/good@1", licence: "MIT"}, {purl: "pkg:npm/bad@1", licence: "GPL-3.0-only"}, {purl: "pkg:npm/none@1"}})
	if want := "pkg:npm/bad@1: GPL-3.0-only\npkg:npm/none@1: unknown licence"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLicencesAreRecognizedByTheirText(t *testing.T) {
	mit, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for want, files := range map[string]map[string]string{
		"MIT": {"LICENSE.md": string(mit), "README": "GPL"},
		"":    {"LICENSE": "Ask the author, and be nice to him."},
	} {
		dir := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := licenceIn(dir); err != nil || got != want {
			t.Errorf("%v: %q, %v, want %q", files, got, err, want)
		}
	}
}

func TestThisTestAndTheNPMPackagesAreListed(t *testing.T) {
	// A test is a program, too.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "sbom.json")
	write := func() []byte {
		if err := run(out, "v1", []string{"../../clients/js/package-lock.json"}, []string{self}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	text := write()
	if !bytes.Equal(text, write()) {
		t.Error("two runs differ")
	}
	var b bom
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	found := map[string]component{}
	for _, c := range b.Components {
		found[c.Name] = c
	}
	check := found["github.com/google/licensecheck"]
	want := component{
		Type: "library", BOMRef: check.PURL, Name: "github.com/google/licensecheck", Version: check.Version, Scope: "required",
		Licenses: []license{{License: &licenseID{"BSD-3-Clause"}}}, PURL: "pkg:golang/github.com/google/licensecheck@" + check.Version,
		Properties: []property{{"gotapi:in", filepath.Base(self)}},
	}
	if diff := cmp.Diff(want, check); diff != "" || !strings.HasPrefix(check.Version, "v") {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, scope := range map[string]string{"stdlib": "required", "vitest": "excluded", "@biomejs/biome": "excluded"} {
		if found[name].Scope != scope {
			t.Errorf("%s: %+v, want scope %s", name, found[name], scope)
		}
	}
	if got := found["@biomejs/biome"].PURL; !strings.HasPrefix(got, "pkg:npm/%40biomejs/biome@") {
		t.Errorf("purl %s", got)
	}
}
