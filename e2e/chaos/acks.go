package main

import (
	"errors"
	"strconv"
)

// acks are what the acks of the history services wait for.
type acks struct {
	replicas replicas
	fsync    bool
}

// replicas is a number of them, or allReplicas.
type replicas int

const allReplicas replicas = -1

// replicasOf is how many replicas a master has.
var replicasOf = map[string]replicas{single: 0, cluster: 1, sentinel: 2}

// MarshalText implements encoding.TextMarshaler.
func (r replicas) MarshalText() ([]byte, error) {
	if r == allReplicas {
		return []byte("all"), nil
	}
	return strconv.AppendInt(nil, int64(r), 10), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *replicas) UnmarshalText(text []byte) error {
	if string(text) == "all" {
		*r = allReplicas
		return nil
	}
	n, err := strconv.ParseUint(string(text), 10, 8)
	if err != nil {
		return errors.New("want all, or a number")
	}
	*r = replicas(n)
	return nil
}

// args are the flags of a history service.
func (a acks) args() []string {
	n, _ := a.replicas.MarshalText() // it has no error
	return []string{"-ack-replicas", string(n), "-ack-fsync=" + strconv.FormatBool(a.fsync)}
}

// ofAll reports whether acks wait for every replica that a master has, so that each
// that may take its place has what was acked.
func (a acks) ofAll(store string) bool {
	return store != single && (a.replicas == allReplicas || a.replicas >= replicasOf[store])
}
