package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// allowed in what users get: they ask for no more than to be named.
var allowed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BlueOak-1.0.0", "ISC", "MIT", "Unlicense"}

// allowedToBuildWith, besides: what is only used is not passed on.
var allowedToBuildWith = []string{"CC-BY-4.0", "CC0-1.0", "MPL-2.0", "Python-2.0"}

// expression joins licences that all hold.
func expression(ids []string) string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), " AND ")
}

// check returns everything that may not be used.
func check(parts []part) error {
	var all []error
	for _, p := range parts {
		if !acceptable(p) {
			licence := p.licence
			if licence == "" {
				licence = "unknown licence"
			}
			all = append(all, fmt.Errorf("%s: %s", p.purl, licence))
		}
	}
	return errors.Join(all...)
}

// acceptable reads an SPDX expression of one level: of "A OR B" one will do, of
// "A AND B" all must.
func acceptable(p part) bool {
	ok := func(id string) bool {
		return slices.Contains(allowed, id) || !p.shipped && slices.Contains(allowedToBuildWith, id)
	}
	plain := strings.Trim(p.licence, "()")
	if plain == "" || strings.Contains(plain, " OR ") && strings.Contains(plain, " AND ") {
		return false
	}
	if choices := strings.Split(plain, " OR "); len(choices) > 1 {
		return slices.ContainsFunc(choices, ok)
	}
	return !slices.ContainsFunc(strings.Split(plain, " AND "), func(id string) bool { return !ok(id) })
}
