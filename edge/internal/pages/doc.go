// Package pages keeps pages of history as they are sent, for as long as they hold.
//
// Every request still asks the history service, which checks rights and compares the
// version of the page that is kept here with the current one. If they are the same, the
// page is neither sent nor encoded again. So a client never gets a page older than its
// request, as without the cache, and a new message or a recall evicts nothing.
//
// The cache is bounded in bytes and evicts the page used longest ago. It is safe for
// concurrent use, and holds no lock while it waits.
package pages
