package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// lockfile is what of a package-lock.json (version 3) is read.
type lockfile struct {
	Packages map[string]struct {
		Name, Version, License string
		Dev, DevOptional, Link bool
	}
}

// packagesOf returns the packages that a lock file names, but for those of the workspace itself.
func packagesOf(lock string) ([]part, error) {
	text, err := os.ReadFile(lock) //nolint:gosec // the caller names it
	if err != nil {
		return nil, err
	}
	var l lockfile
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, fmt.Errorf("%s: %w", lock, err)
	}
	var parts []part
	for path, p := range l.Packages {
		at := strings.LastIndex(path, "node_modules/")
		if at < 0 || p.Link {
			continue // the workspace's own
		}
		name := path[at+len("node_modules/"):]
		parts = append(parts, part{
			// A scope's @ is escaped in a purl.
			purl: "pkg:npm/" + strings.Replace(name, "@", "%40", 1) + "@" + p.Version,
			name: name, version: p.Version, licence: p.License, shipped: !p.Dev && !p.DevOptional, in: []string{filepath.Base(filepath.Dir(lock))},
		})
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("%s lists no packages", lock)
	}
	return parts, nil
}
