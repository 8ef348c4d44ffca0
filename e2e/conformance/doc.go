// Package conformance tests a running gotapi-ws against its contract, over the
// wire only. Each test carries the section of docs/protocol.md in its name:
// Test2_3_... checks what section 2.3 promises.
//
// Without settings the tests start gotapi-ws with its embedded store. Pointed at
// servers that run already (make conformance ADDR=...), they use groups with
// random names and leave everything else alone:
//
//	go test ./e2e/conformance -args -addr 10.0.0.1:4998,10.0.0.2:4998 -grpc 10.0.0.3:5998
//
// With several edges, tests write to one edge and read from another. Tests that need
// an address or a secret that was not given (gRPC, Redis, admin) are skipped.
package conformance
