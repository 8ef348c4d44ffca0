//go:build !unix

package runtimetuning

// MaxFiles returns how many file descriptors this process may have open; 0: there is no
// limit that is known.
func MaxFiles() int { return 0 }
