//go:build !linux

package runtimetuning

import (
	"errors"
	"time"
)

// Start does nothing: timer slack is a feature of Linux.
func Start(bool) {}

func cpuTime() (time.Duration, error) { return 0, errors.ErrUnsupported }
