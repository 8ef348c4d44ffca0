package config

import (
	"errors"
	"fmt"
	"strings"
)

// Errors are all things that are wrong with settings, a line each.
type Errors []string

// Error joins them in one line.
func (p Errors) Error() string { return strings.Join(p, "; ") }

// Err returns p if there is any problem.
func (p Errors) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Add adds err, which may be Errors itself, unless it is nil.
func (p *Errors) Add(err error) {
	var several Errors
	switch {
	case err == nil:
	case errors.As(err, &several):
		*p = append(*p, several...)
	default: // YAML errors have several lines
		*p = append(*p, strings.Join(strings.Fields(err.Error()), " "))
	}
}

// Check adds a problem unless ok.
func (p *Errors) Check(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Sprintf(format, args...))
	}
}
