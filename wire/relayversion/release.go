package relayversion

import (
	"strconv"
	"strings"
)

// MayMeet reports whether programs of two releases may work together: those that are at
// most one minor apart. A version that names no release, such as devel, may meet any.
func MayMeet(a, b string) bool {
	majorA, minorA, okA := parseRelease(a)
	majorB, minorB, okB := parseRelease(b)
	if !okA || !okB {
		return true
	}
	return majorA == majorB && max(minorA, minorB)-min(minorA, minorB) <= 1
}

// parseRelease reads the beginning of v1.4.2-3-gabc, say.
func parseRelease(version string) (major, minor uint64, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return 0, 0, false
	}
	major, err1 := strconv.ParseUint(parts[0], 10, 32)
	minor, err2 := strconv.ParseUint(parts[1], 10, 32)
	return major, minor, err1 == nil && err2 == nil
}
