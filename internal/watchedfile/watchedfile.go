// Package watchedfile keeps what a file holds current while the program runs.
package watchedfile

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// checkEvery is how often a File is looked at. It is also how long its old content may
// stay in use. Files of Kubernetes appear as new links, so contents are compared.
const checkEvery = 5 * time.Second

// Kind says in the log what is in a File: constants, since messages of logs are.
type Kind struct {
	// Kept is the message when new content cannot be used, and Used when it is.
	Kept, Used string
}

// File is a file whose content may be replaced while the program runs. New content that
// cannot be used changes nothing: the one before stays in use, and the log says why. A
// nil *File has the zero value. It is safe for concurrent use.
type File[T any] struct {
	// setting is the flag that names it.
	setting, path string
	parse         func([]byte) (T, error)
	kind          Kind
	log           *slog.Logger
	current       atomic.Pointer[content[T]]

	mu sync.Mutex
	// Why it could not be used the last time; nil if it could.
	failure error
}

// content is what the file held, and what parse made of it.
type content[T any] struct {
	bytes []byte
	value T
}

// Open reads the file that a setting names; it returns nil for the path "". parse makes
// a value of what the file holds.
func Open[T any](setting, path string, parse func([]byte) (T, error), kind Kind, log *slog.Logger) (*File[T], error) {
	if path == "" {
		return nil, nil
	}
	f := &File[T]{setting: setting, path: path, parse: parse, kind: kind, log: log}
	if _, err := f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// read uses what the file holds, and reports whether that is new.
func (f *File[T]) read() (changed bool, err error) {
	b, err := os.ReadFile(f.path)
	if err != nil {
		return false, fmt.Errorf("%s: %w", f.setting, err)
	}
	if before := f.current.Load(); before != nil && bytes.Equal(b, before.bytes) {
		return false, nil
	}
	value, err := f.parse(b)
	if err != nil {
		return false, fmt.Errorf("%s: %w", f.setting, err)
	}
	f.current.Store(&content[T]{b, value})
	return true, nil
}

// Value returns what the content of now means.
func (f *File[T]) Value() (value T) {
	if f == nil {
		return value
	}
	return f.current.Load().value
}

// Path is where the file is; "" if there is none.
func (f *File[T]) Path() string {
	if f == nil {
		return ""
	}
	return f.path
}

// Failure returns why the file could not be used the last time; nil if it could.
func (f *File[T]) Failure() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failure
}

// Reload reads the file now.
func (f *File[T]) Reload() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	changed, err := f.read()
	switch {
	case err != nil && (f.failure == nil || err.Error() != f.failure.Error()):
		f.log.Error(f.kind.Kept, "error", err) //nolint:sloglint // a Kind has constants
	case changed:
		f.log.Info(f.kind.Used, "setting", f.setting) //nolint:sloglint // a Kind has constants
	}
	f.failure = err
}

// Run reads the file from time to time, until ctx ends.
func (f *File[T]) Run(ctx context.Context) {
	if f == nil {
		return
	}
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.Reload()
		}
	}
}
