// Package groupsettings knows the settings of single groups, which a file lists by
// patterns of their names. What the file does not name comes from the flags.
package groupsettings

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/internal/metric"
	"github.com/gotapi/gotapi-ws/internal/secretfile"
	"github.com/gotapi/gotapi-ws/internal/watchedfile"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// FlagName is the flag that names the file.
const FlagName = "groups-file"

// RegisterFlag defines the flag.
func RegisterFlag(fs *flag.FlagSet, path *string) {
	fs.StringVar(path, FlagName, "", "`path` of settings of single groups, YAML (docs/howto/settings-by-group.md)")
}

// Settings are those of one entry of the file. A nil one comes from the flags.
type Settings struct {
	// Enforced by the history service.

	// Whether data packets are stored.
	Store *bool
	// Messages that a group keeps, and for how long after the last one; 0: without limit.
	Cap       *int
	Retention *time.Duration
	// Whether the names of authors are kept.
	Names *bool
	// How long ordinary users may recall a message; 0: always.
	RecallWindow *time.Duration

	// Enforced where a packet enters.

	// Largest packet, bytes.
	MaxMessageBytes *int
	// Messages per second; 0: no limit.
	LimitMessages *float64
	Hooks         *Hooks
}

// Hooks are which of the configured hooks see the packets of a group.
type Hooks string

// The values of Hooks.
const (
	HooksBefore Hooks = "before"
	HooksAfter  Hooks = "after"
	HooksBoth   Hooks = "both"
	HooksNone   Hooks = "none"
)

// Before reports whether the hook before publishing is asked.
func (h Hooks) Before() bool { return h == HooksBefore || h == HooksBoth }

// After reports whether the hook after publishing gets packets.
func (h Hooks) After() bool { return h == HooksAfter || h == HooksBoth }

// Or returns what an entry names, else the value of the flag.
func Or[T any](named *T, flag T) T {
	if named != nil {
		return *named
	}
	return flag
}

// Entry is one entry of the file.
type Entry struct {
	// Number counts from 1; 0: no entry matches, and all settings come from the flags.
	Number int
	// Match is the pattern as it is written.
	Match string
	Settings
	pattern access.Pattern
}

// MaxBytes returns the size of the largest packet, which is at most that of the flag.
func (s *Settings) MaxBytes(flag int) int { return min(flag, Or(s.MaxMessageBytes, flag)) }

// AsksHook reports whether the hook before publishing is asked, if there is one.
func (s *Settings) AsksHook() bool { return Or(s.Hooks, HooksBoth).Before() }

// TellsHook reports whether the hook after publishing gets packets, if there is one.
func (s *Settings) TellsHook() bool { return Or(s.Hooks, HooksBoth).After() }

// none is for groups that no entry matches.
var none Entry

// File is the file, as it is now. A nil *File has no entries. It is safe for concurrent
// use.
type File struct{ watched *watchedfile.File[[]Entry] }

var kind = watchedfile.Kind{Kept: "reload settings of groups: keep the previous ones", Used: "new settings of groups are in use"}

// Open reads the file; it returns nil for the path "". maxMessageBytes returns the flag
// -max-message-bytes, which entries can only lower. subsystem is part of the name of the
// metric.
func Open(path string, maxMessageBytes func() int, subsystem string, log *slog.Logger, reg prometheus.Registerer) (*File, error) {
	watched, err := open(path, maxMessageBytes, log)
	if err != nil {
		return nil, err
	}
	metric.In(reg).GaugeFunc("gotapi_"+subsystem+"_groups_file_refused",
		"1 while -groups-file cannot be used, and its last good content is.", func() float64 {
			if watched.Failure() != nil {
				return 1
			}
			return 0
		})
	if watched == nil {
		return nil, nil //nolint:nilnil // see above
	}
	return &File{watched}, nil
}

// Check returns what is wrong with the file.
func Check(path string, maxMessageBytes int) error {
	_, err := open(path, func() int { return maxMessageBytes }, nil)
	return err
}

func open(path string, maxMessageBytes func() int, log *slog.Logger) (*watchedfile.File[[]Entry], error) {
	read := func(b []byte) ([]Entry, error) {
		if err := secretfile.Check(b); err != nil {
			return nil, fmt.Errorf("%s %w", path, err)
		}
		entries, err := parse(b, maxMessageBytes())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return entries, nil
	}
	return watchedfile.Open("-"+FlagName, path, read, kind, log)
}

// Of returns the first entry that matches a group. It never returns nil.
func (f *File) Of(g group.Name) *Entry {
	if f == nil {
		return &none
	}
	entries := f.watched.Value()
	for i := range entries {
		if entries[i].pattern.Match(g) {
			return &entries[i]
		}
	}
	return &none
}

// Path is where the file is; "" if there is none.
func (f *File) Path() string {
	if f == nil {
		return ""
	}
	return f.watched.Path()
}

// Failure returns why the file could not be used the last time; nil if it could.
func (f *File) Failure() error {
	if f == nil {
		return nil
	}
	return f.watched.Failure()
}

// Reload reads the file now.
func (f *File) Reload() {
	if f != nil {
		f.watched.Reload()
	}
}

// Run reads the file when it changes, until ctx ends.
func (f *File) Run(ctx context.Context) error {
	if f != nil {
		f.watched.Run(ctx)
	}
	<-ctx.Done()
	return nil
}
