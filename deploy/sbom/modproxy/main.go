// Command modproxy packs a folder as one version of its module, as the Go command
// and proxy.golang.org would, into a file-system proxy:
//
//	modproxy FOLDER VERSION PROXY
//	GOPROXY=file://PROXY go get MODULE@VERSION
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: modproxy FOLDER VERSION PROXY")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "modproxy:", err)
		os.Exit(1)
	}
}

// pack writes a version of the module in folder into proxy.
func pack(folder, version, proxy string) error {
	text, err := os.ReadFile(filepath.Join(folder, "go.mod")) //nolint:gosec // the caller names it
	if err != nil {
		return err
	}
	mod, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		return err
	}
	if len(mod.Replace) > 0 {
		return errors.New("go.mod: replace is ignored in a dependency, so that others build something else")
	}
	path, err := module.EscapePath(mod.Module.Mod.Path)
	if err != nil {
		return err
	}
	versions := filepath.Join(proxy, filepath.FromSlash(path), "@v")
	if err := os.MkdirAll(versions, 0o750); err != nil { //nolint:gosec // the caller names it
		return err
	}
	info := fmt.Sprintf(`{"Version":%q,"Time":%q}`, version, time.Now().UTC().Format(time.RFC3339))
	for name, content := range map[string]string{"list": version + "\n", version + ".mod": string(text), version + ".info": info} {
		if err := os.WriteFile(filepath.Join(versions, name), []byte(content), 0o600); err != nil { //nolint:gosec // the caller names it
			return err
		}
	}
	f, err := os.Create(filepath.Join(versions, version+".zip")) //nolint:gosec // the caller names it
	if err != nil {
		return err
	}
	err = zip.CreateFromDir(f, module.Version{Path: mod.Module.Mod.Path, Version: version}, folder)
	return errors.Join(err, f.Close())
}
