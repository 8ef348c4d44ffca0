// Package dialect has no code: each folder below it is a protocol as rooms see it, a
// room.Dialect.
package dialect
