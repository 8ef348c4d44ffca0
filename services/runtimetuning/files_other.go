//go:build !unix

package runtimetuning

// MaxFiles returns how many file descriptors this process may have open; 0: no known
// limit.
func MaxFiles() int { return 0 }
