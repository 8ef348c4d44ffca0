package config

import (
	"flag"
	"strconv"
)

// Action defines a boolean flag that says what to do, as -version does. Only
// the command line can set it: a GOTAPI_VERSION in the environment is probably
// a note of what is deployed.
func Action(fs *flag.FlagSet, name, usage string) *bool {
	a := new(action)
	fs.Var(a, name, usage)
	return &a.on
}

type action struct {
	on    bool
	ended bool
}

func (a *action) Set(s string) error {
	if a.ended {
		return nil
	}
	on, err := strconv.ParseBool(s)
	a.on = on
	return err
}

func (a *action) String() string {
	return strconv.FormatBool(a != nil && a.on)
}

// IsBoolFlag makes "-version" mean "-version=true".
func (a *action) IsBoolFlag() bool { return true }

// endActions makes the actions of fs ignore everything that follows.
func endActions(fs *flag.FlagSet) {
	fs.VisitAll(func(f *flag.Flag) {
		if a, ok := f.Value.(*action); ok {
			a.ended = true
		}
	})
}
