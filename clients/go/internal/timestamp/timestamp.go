// Package timestamp reads the times of a server.
package timestamp

import "time"

// Time returns the time of Unix milliseconds. 0 is unknown: the zero time.
func Time(milliseconds int64) time.Time {
	if milliseconds == 0 {
		return time.Time{}
	}
	return time.UnixMilli(milliseconds)
}
