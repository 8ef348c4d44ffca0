package main

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAVersionHoldsTheModuleWithoutNestedModules(t *testing.T) {
	folder, proxy := t.TempDir(), t.TempDir()
	write(t, folder, "go.mod", "module example.com/Big/mod\n\ngo 1.26.0\n")
	write(t, folder, "a/a.go", "package a\n")
	write(t, folder, "nested/go.mod", "module example.com/Big/mod/nested\n")
	write(t, folder, "nested/n.go", "package nested\n")
	const version = "v0.0.0-20260101000000-123456789abc"
	if err := pack(folder, version, proxy); err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(filepath.Join(proxy, "example.com/!big/mod/@v", version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	var got []string
	for _, f := range z.File {
		got = append(got, strings.TrimPrefix(f.Name, "example.com/Big/mod@"+version+"/"))
	}
	if diff := cmp.Diff([]string{"a/a.go", "go.mod"}, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestAModuleThatReplacesOthersIsRefused(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "go.mod", "module example.com/mod\n\nreplace example.com/x => ../x\n")
	if err := pack(folder, "v1.0.0", t.TempDir()); err == nil || !strings.Contains(err.Error(), "replace") {
		t.Errorf("got %v, want an error about replace", err)
	}
}

func write(t *testing.T, folder, name, content string) {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
