package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

// writeDump keeps the records of the groups that broke rules; nothing without a
// folder.
func writeDump(folder string, o *outcome) error {
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	bad := make(map[string]bool)
	for _, v := range o.violations {
		bad[v.Group] = true
	}
	for _, rec := range o.recordings {
		for _, g := range rec.Groups {
			if !bad[g.Name] {
				continue
			}
			if err := dumpGroup(folder, g); err != nil {
				return fmt.Errorf("dump: %w", err)
			}
		}
	}
	return nil
}

func dumpGroup(folder string, g *check.Group) error {
	text, err := json.MarshalIndent(g, "", " ")
	if err != nil {
		return err
	}
	name := strings.ReplaceAll(strings.Trim(g.Name, "/"), "/", "-") + ".json"
	return os.WriteFile(filepath.Join(folder, name), text, 0o600)
}
