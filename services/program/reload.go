package program

import (
	"context"
	"log/slog"
	"os"
	"sync"

	"github.com/gotapi/gotapi-ws/services/config"
)

// reloader reads the settings again, from where they were read at the start.
type reloader[S Settings] struct {
	program Program[S]
	args    []string
	level   *slog.LevelVar
	log     *slog.Logger
	// The service takes the next one when it has applied the one before.
	reloads chan S

	mu sync.Mutex
	// Values of the flags that are in use.
	inUse map[string]string
}

func newReloader[S Settings](p Program[S], s *settings[S], level *slog.LevelVar, log *slog.Logger) *reloader[S] {
	return &reloader[S]{
		program: p, args: s.args, level: level, log: log,
		reloads: make(chan S), inUse: config.Values(s.flags),
	}
}

// run reloads at each hangup until ctx ends.
func (r *reloader[S]) run(ctx context.Context, hangups <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			_ = r.reload(ctx) // is in the log
		}
	}
}

// reload uses the settings of now, or, if anything is wrong with any of them,
// none. Settings that cannot change while the program runs stay as they are,
// and are named in the log.
func (r *reloader[S]) reload(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, changes, err := r.read()
	if err != nil {
		r.log.ErrorContext(ctx, "reload settings: keep the previous ones", "error", err)
		return err
	}
	select {
	case r.reloads <- s.own:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, name := range changes.Reloadable {
		if name == "log-level" {
			r.level.Set(s.log.Level)
		}
	}
	r.inUse = config.Values(s.flags)
	warnOfReadable(ctx, s.own, r.log)
	r.log.InfoContext(ctx, "settings reloaded", "changed", changes.Reloadable)
	if len(changes.Fixed) > 0 {
		r.log.WarnContext(ctx, "some changed settings need a restart", "settings", changes.Fixed)
	}
	return nil
}

// read reads the settings, and checks them.
func (r *reloader[S]) read() (*settings[S], config.Changes, error) {
	if err := config.CheckAgain(r.inUse); err != nil {
		return nil, config.Changes{}, err
	}
	s := r.program.load(r.args)
	changes := config.Compare(r.inUse, s.flags)
	return s, changes, r.check(s, changes.Fixed)
}

// check checks the settings as they were read, and then as they would be in
// use: with those that are fixed as they are now.
func (r *reloader[S]) check(s *settings[S], fixed []string) error {
	if err := s.check(); err != nil || len(fixed) == 0 {
		return err
	}
	for _, name := range fixed {
		if err := s.flags.Set(name, r.inUse[name]); err != nil {
			return err
		}
	}
	return s.validate()
}
