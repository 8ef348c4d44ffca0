// Package gateway serves HTTP (docs/protocol.md, sections 3 to 6).
//
// It finds the group or the endpoint by the exact path of the request (endpoints.go);
// an http.ServeMux would clean paths, and a group name is a path as it is. Publishes
// go to the Publisher (publish.go), pages of history through package pages
// (history.go), recalls and administration through grpc-gateway, in process
// (mapped.go, params.go, marshal.go), and requests for a WebSocket to Sockets
// (upgrade.go). The Forwarder checks rights and calls the history service.
//
// Every answer but a page, a list of groups and the status is a JSON object,
// and every error is {"code":C,"msg":"why"} with C the HTTP status.
package gateway
