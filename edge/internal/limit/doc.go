// Package limit bounds what clients may do: how fast WebSockets are accepted
// (RateLimiter), how much is under way at one time (Semaphore), and how much one
// client, user or group may send (Limits). It refuses, and says when to come again;
// telling the client is up to its callers.
//
// Limits are those of one edge: with n edges behind one balancer a client may have
// n times as much.
package limit
