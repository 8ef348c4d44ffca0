//go:build unix

package runtimetuning

import (
	"math"
	"syscall"
)

// MaxFiles returns how many file descriptors this process may have open; 0: there is no
// limit. The Go runtime has raised it as far as it may.
func MaxFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || uint64(limit.Cur) > math.MaxInt32 { //nolint:unconvert // signed on some systems
		return 0
	}
	return int(limit.Cur)
}
