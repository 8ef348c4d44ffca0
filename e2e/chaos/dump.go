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
func writeDump(folder string, o *outcome) {
	if folder == "" {
		return
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		fmt.Println("dump:", err)
		return
	}
	bad := make(map[string]bool)
	for _, v := range o.violations {
		bad[v.Group] = true
	}
	for _, rec := range o.recordings {
		for _, g := range rec.Groups {
			if bad[g.Name] {
				dumpGroup(folder, g)
			}
		}
	}
}

func dumpGroup(folder string, g *check.Group) {
	text, err := json.MarshalIndent(g, "", " ")
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, strings.ReplaceAll(strings.Trim(g.Name, "/"), "/", "-")+".json"), text, 0o600)
	}
	if err != nil {
		fmt.Println("dump:", err)
	}
}
