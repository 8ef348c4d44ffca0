package config

import (
	"net"
	"strconv"
)

// IsAddress reports whether a is an address to listen on: host:port, of which the
// host may be empty.
func IsAddress(a string) bool {
	_, port, err := net.SplitHostPort(a)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}
