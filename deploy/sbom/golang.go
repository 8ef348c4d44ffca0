package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/google/licensecheck"
	"golang.org/x/mod/module"
)

// own is what the paths of this repository's modules begin with.
const own = "github.com/gotapi/gotapi-ws"

// surely is the share of a file, per cent, that must be the text of known licences.
const surely = 75

// modulesOf returns the modules that a built program contains, and Go's own library.
func modulesOf(program, cache string) ([]part, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(program)
	version, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	parts := []part{{
		purl: "pkg:golang/stdlib@" + version, name: "stdlib", version: version,
		licence: "BSD-3-Clause", shipped: true, in: []string{name},
	}}
	for _, m := range info.Deps {
		if strings.HasPrefix(m.Path, own) {
			continue
		}
		p, err := golangPart(m, cache)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", program, err)
		}
		p.in = []string{name}
		parts = append(parts, p)
	}
	return parts, nil
}

func golangPart(m *debug.Module, cache string) (part, error) {
	if m.Replace != nil {
		m = m.Replace
	}
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return part{}, err
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return part{}, err
	}
	licence, err := licenceIn(filepath.Join(cache, path+"@"+version))
	if err != nil {
		return part{}, fmt.Errorf("licence of %s: %w", m.Path, err)
	}
	return part{purl: "pkg:golang/" + m.Path + "@" + m.Version, name: m.Path, version: m.Version, licence: licence, shipped: true}, nil
}

// licenceIn recognizes the licence of the module in a folder; "" if it has none that is known.
func licenceIn(folder string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, e.Name())) //nolint:gosec // a file of the module cache
		if err != nil {
			return "", err
		}
		coverage := licensecheck.Scan(text)
		if coverage.Percent < surely {
			continue
		}
		for _, m := range coverage.Match {
			found = append(found, m.ID)
		}
	}
	return expression(found), nil
}
