package main

import (
	"encoding/json"
	"strings"
)

// The part of CycloneDX 1.5 that is written (cyclonedx.org/docs/1.5/json). There is no
// time and no random serial number: the same input gives the same document.
type bom struct {
	Schema      string      `json:"$schema"`
	BOMFormat   string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     int         `json:"version"`
	Metadata    metadata    `json:"metadata"`
	Components  []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	BOMRef     string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Scope      string     `json:"scope,omitempty"`
	Licenses   []license  `json:"licenses,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

// license has one of the two.
type license struct {
	License    *licenseID `json:"license,omitempty"`
	Expression string     `json:"expression,omitempty"`
}

type licenseID struct {
	ID string `json:"id"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func cycloneDX(version string, parts []part) ([]byte, error) {
	b := bom{
		Schema: "http://cyclonedx.org/schema/bom-1.5.schema.json", BOMFormat: "CycloneDX", SpecVersion: "1.5", Version: 1,
		Metadata: metadata{component{
			Type: "application", BOMRef: "gotapi-ws", Name: "gotapi-ws", Version: version,
			Licenses: []license{{License: &licenseID{"MIT"}}},
		}},
		Components: []component{},
	}
	for _, p := range parts {
		c := component{Type: "library", BOMRef: p.purl, Name: p.name, Version: p.version, Scope: "excluded", PURL: p.purl}
		if p.shipped {
			c.Scope = "required"
		}
		switch {
		case strings.Contains(p.licence, " "):
			c.Licenses = []license{{Expression: p.licence}}
		case p.licence != "":
			c.Licenses = []license{{License: &licenseID{p.licence}}}
		}
		for _, where := range p.in {
			c.Properties = append(c.Properties, property{"gotapi:in", where})
		}
		b.Components = append(b.Components, c)
	}
	text, err := json.MarshalIndent(b, "", "  ")
	return append(text, '\n'), err
}
