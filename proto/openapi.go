// Package proto holds what the contract looks like from outside Go. The
// contract itself is in gotapi/, the Go code made from it in gen/.
package proto

import _ "embed"

// OpenAPI is the OpenAPI 3.1 document of the HTTP interface, JSON. It is written by
// hand: HTTP has less than gRPC, and says some of it otherwise.
//
//go:embed openapi.json
var OpenAPI []byte

// AsyncAPI is the AsyncAPI 3.0 document of gotapi.v2, JSON. It is written by hand. The
// tests of deploy/verify check it against wire/header and testdata/v2.json.
//
//go:embed asyncapi.json
var AsyncAPI []byte
