package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReferenceOfSettingsIsCurrent(t *testing.T) {
	text, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := withTables(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("docs/configuration.md is not current: run `make docs` (-want +got):\n%s", diff)
	}
}

func TestDocumentWithoutAPlaceForATableIsRefused(t *testing.T) {
	if _, err := withTables("<!-- edge -->\n"); err == nil {
		t.Error("got no error")
	}
}
