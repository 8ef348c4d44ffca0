//go:build !linux

package procs

// CalmWatcher does nothing here: timer slack is Linux's.
func CalmWatcher() {}
