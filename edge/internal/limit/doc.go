// Package limit says how much is too much: how fast connections may come in all
// (Gate).
package limit
