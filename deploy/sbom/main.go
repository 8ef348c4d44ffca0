// Command sbom writes what the built programs and the npm packages are made of,
// as a CycloneDX document, and fails if a part has a licence that is not allowed.
//
//	sbom -out sbom.cdx.json -version v1 -npm clients/js/package-lock.json bin/edge bin/historysvc
//
// Go modules are read from the programs themselves, so the list is of what is in
// them; licences are read from the module cache, and recognized by their text.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	out := flag.String("out", "", "`path` of the document to write; if unset, only check licences")
	version := flag.String("version", "devel", "version of the product")
	npm := flag.String("npm", "", "comma-separated package-lock.json files")
	flag.Parse()
	if err := run(*out, *version, split(*npm), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func run(out, version string, locks, programs []string) error {
	if len(programs)+len(locks) == 0 {
		return errors.New("name at least one program or package-lock.json")
	}
	cache, err := moduleCache()
	if err != nil {
		return err
	}
	var parts []part
	for _, program := range programs {
		found, err := modulesOf(program, cache)
		if err != nil {
			return err
		}
		parts = append(parts, found...)
	}
	for _, lock := range locks {
		found, err := packagesOf(lock)
		if err != nil {
			return err
		}
		parts = append(parts, found...)
	}
	parts = merge(parts)
	if out != "" {
		text, err := cycloneDX(version, parts)
		if err != nil {
			return err
		}
		if err := os.WriteFile(out, text, 0o600); err != nil {
			return err
		}
	}
	if err := check(parts); err != nil {
		return err
	}
	fmt.Printf("%d parts, all with allowed licences\n", len(parts)) //nolint:forbidigo // a command for people
	return nil
}

func moduleCache() (string, error) {
	out, err := exec.Command("go", "env", "GOMODCACHE").Output() //nolint:noctx // it answers at once
	if err != nil {
		return "", fmt.Errorf("go env GOMODCACHE: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// part is a module or package that the product is made of, or made with.
type part struct {
	purl, name, version string
	// licences is an SPDX expression; "" when it is not known.
	licence string
	// Shipped parts are in what users get; the others build and test it.
	shipped bool
	// In which programs it is.
	in []string
}

// merge joins the parts that are one, and sorts them.
func merge(parts []part) []part {
	byURL := map[string]part{}
	for _, p := range parts {
		if known, ok := byURL[p.purl]; ok {
			p.in = append(known.in, p.in...)
			p.shipped = p.shipped || known.shipped
		}
		byURL[p.purl] = p
	}
	all := make([]part, 0, len(byURL))
	for _, p := range byURL {
		slices.Sort(p.in)
		p.in = slices.Compact(p.in)
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b part) int { return strings.Compare(a.purl, b.purl) })
	return all
}
