package verify

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	// A path of the repository, as text in backticks: a top-level folder and a slash.
	quotedPath = regexp.MustCompile("`((?:access|cli|clients|deploy|docs|e2e|edge|examples|historysvc|hooks|internal|proto|scripts|services|standalone|testdata|wire)/[A-Za-z0-9_./-]*)`")
	linkTarget = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// anchors are those of the headings of a page, as GitHub makes them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, h := range heading.FindAllString(codeBlock.ReplaceAllString(text, ""), -1) {
		h = strings.ToLower(strings.TrimSpace(strings.TrimLeft(h, "#")))
		all[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return r
			}
			return -1
		}, h)] = true
	}
	return all
}

// Decisions (docs/adr) and the changelog name what existed at their time.
func pages(t *testing.T) []string {
	t.Helper()
	found := []string{
		"README.md", "README.zh.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "deploy/helm/gotapi-ws/README.md",
		"examples/README.md", "examples/grpc/README.md",
		"clients/go/README.md", "clients/js/README.md", "clients/console/README.md", "clients/openapi/README.md",
		"clients/js/packages/gotapi-ws/README.md", "clients/js/packages/node-gotapi-ws/README.md",
	}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "adr":
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			relative, err := filepath.Rel(root, path)
			found = append(found, relative)
			return err
		}
		return nil
	})
	if err != nil || len(found) < 10 {
		t.Fatalf("found the pages %v, %v", found, err)
	}
	return found
}

func TestPathsAndLinksInPagesExist(t *testing.T) {
	paths, links := 0, 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range quotedPath.FindAllStringSubmatch(string(text), -1) {
			paths++
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which does not exist", page, m[1])
			}
		}
		for _, m := range linkTarget.FindAllStringSubmatch(string(text), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			links++
			linked := filepath.Join(root, filepath.Dir(page), target)
			if target == "" {
				linked = filepath.Join(root, page)
			}
			if _, err := os.Stat(linked); err != nil {
				t.Errorf("%s links to %s, which does not exist", page, target)
			} else if anchor != "" && strings.HasSuffix(linked, ".md") {
				text, err := os.ReadFile(linked)
				if err != nil {
					t.Fatal(err)
				}
				if !anchors(string(text))[anchor] {
					t.Errorf("%s links to %s, a heading that does not exist", page, m[1])
				}
			}
		}
	}
	if paths < 50 || links < 50 {
		t.Errorf("found %d paths and %d links in all pages: the patterns do not match what pages have", paths, links)
	}
}

// fromRegistry matches commands that work once something of ours is published.
var fromRegistry = regexp.MustCompile(`npm (?:install|i|add) (?:node-)?gotapi-ws|go (?:get|install) github\.com/gotapi/|docker pull|ghcr\.io`)

// TestOnlyOnePlaceInstallsFromRegistries: docs/clients.md is what a release changes.
func TestOnlyOnePlaceInstallsFromRegistries(t *testing.T) {
	for command, want := range map[string]bool{
		"npm install gotapi-ws":                                  true,
		"npm i node-gotapi-ws":                                   true,
		"go get github.com/gotapi/gotapi-ws@v0.1.0":              true,
		"npm install ~/gotapi/node-gotapi-ws-*.tgz":              false,
		"npm install ../gotapi-ws/clients/js/packages/gotapi-ws": false,
	} {
		if fromRegistry.MatchString(command) != want {
			t.Errorf("%q: installs from a registry: %t, want %t", command, !want, want)
		}
	}
	for _, page := range pages(t) {
		if page == "docs/clients.md" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		if found := fromRegistry.FindString(string(text)); found != "" {
			t.Errorf("%s has %q: link to docs/clients.md#install instead", page, found)
		}
	}
}
