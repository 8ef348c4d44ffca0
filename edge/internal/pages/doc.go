// Package pages keeps pages of history as they are sent, for as long as they hold.
//
// Every request still asks the history service: it checks rights, and compares the
// version of the page that is kept here with that of now. If they are the same, the
// page does not travel, and is not encoded, again. So what a client gets is never
// older than its request, as without the cache; and nothing has to be thrown away
// when a message comes or is recalled.
//
// The cache is bounded in bytes, and what was used longest ago goes first. It is
// safe for concurrent use, and holds no lock while it waits for anybody.
package pages
