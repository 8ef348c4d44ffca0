package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors are the problems of settings, a line each.
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

// Add adds err, which may be nil or Errors itself, without the problems that p already has.
func (p *Errors) Add(err error) {
	var several Errors
	switch {
	case err == nil:
		return
	case !errors.As(err, &several): // YAML errors have several lines
		several = Errors{strings.Join(strings.Fields(err.Error()), " ")}
	}
	for _, problem := range several {
		if !slices.Contains(*p, problem) {
			*p = append(*p, problem)
		}
	}
}

// Check adds a problem unless ok.
func (p *Errors) Check(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Sprintf(format, args...))
	}
}
