// Package limit says how much is too much: how fast connections may come in all
// (Gate), how much may be under way (Slots), and what one client, user or group
// may have (Limits). It refuses, and says when to come again; how the client is
// told is its callers' business.
//
// Limits are those of one edge: with n edges behind one balancer a client may have
// n times as much.
package limit
