// Package historyconn connects an edge to the history services: it dials them, spreads
// calls over those that answer, and repeats what is safe to repeat.
//
// TCP and gRPC's keepalive notice a service whose machine or network is gone, but a
// process that hangs keeps its connections open, and keepalive cannot ask more often
// than every 10 s. So each connection has a heartbeat: RelayService.Heartbeat, which a
// history service answers from memory, so that a slow Redis does not delay it. A service
// that does not answer within Patience is silent: while another one answers, it gets no
// calls, and those that it has are cancelled with ErrSilent. Unary calls are then made
// again elsewhere; they must bear being made twice.
//
// The answer says how many streams of edges the service has. A Seat is one of these, and
// knows whether it would be better elsewhere.
//
// While no other service answers, nothing is cancelled: what is slow may still answer.
package historyconn
