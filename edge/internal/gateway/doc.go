// Package gateway is the edge's HTTP face (docs/protocol.md, sections 3 to 6).
//
// It finds the group or the endpoint by the exact path of the request; an
// http.ServeMux would clean paths, and a group name is a path as it is. What
// publishes goes into the relay; what reads, recalls or administers goes through
// grpc-gateway, in process, to the history service. Upgrades to a WebSocket are
// handed on.
//
// Every answer but a page, a list of groups and the status is a JSON object,
// and every error is {"code":C,"msg":"why"} with C the HTTP status.
package gateway
