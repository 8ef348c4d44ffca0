package config

import (
	"errors"
	"flag"
	"log/slog"
	"time"
)

// explainErrors makes the flags of fs name the kind of value that they expect, where
// package flag only says "parse error", and keep their value on an error. undo undoes it.
func explainErrors(fs *flag.FlagSet) (undo func()) {
	fs.VisitAll(func(f *flag.Flag) {
		if _, ok := f.Value.(*action); !ok {
			f.Value = explaining{f.Value}
		}
	})
	return func() {
		fs.VisitAll(func(f *flag.Flag) {
			if e, ok := f.Value.(explaining); ok {
				f.Value = e.Value
			}
		})
	}
}

type explaining struct{ flag.Value }

// Set implements flag.Value.
func (e explaining) Set(s string) error {
	before := e.Value.String()
	err := e.Value.Set(s)
	if err == nil {
		return nil
	}
	wanted := wantedBy(e.Value)
	if wanted != "" { // package flag has set it to 0, which may be wrong once more
		_ = e.Value.Set(before)
	}
	switch {
	case err.Error() == "value out of range": // package flag keeps its errors to itself
		return errors.New("the number is too large")
	case wanted != "":
		return errors.New("not " + wanted)
	}
	return err
}

// IsBoolFlag makes "-x" mean "-x=true" where that is so for the value itself.
func (e explaining) IsBoolFlag() bool { return isBool(e.Value) }

// wantedBy describes the values of v; "": unknown.
func wantedBy(v flag.Value) string {
	switch Get(v).(type) {
	case time.Duration:
		return "a duration such as 10s or 1h30m"
	case int, int64:
		return "a whole number"
	case uint, uint64:
		return "a whole number of 0 or more"
	case float64:
		return "a number"
	case bool:
		return "true or false"
	case *slog.Level:
		return "debug, info, warn or error"
	}
	return ""
}
