// Package proto holds what the contract looks like from outside Go. The
// contract itself is in gotapi/, the Go code made from it in gen/.
package proto

import _ "embed"

// OpenAPI is the OpenAPI 2.0 document of the HTTP interface, JSON. What is gRPC's
// alone is left out when it is made (cmd/openapi).
//
//go:embed gen/gotapi.swagger.json
var OpenAPI []byte
