package groupsettings

import (
	"fmt"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// Explanation is what one process uses for one group.
type Explanation struct {
	// Host is where the process listens.
	Host string `json:"host"`
	// File is its file of settings; "": it has none.
	File string `json:"file"`
	// Entry is the number of the entry that matches, and Match its pattern; 0: none does.
	Entry int    `json:"entry"`
	Match string `json:"match"`
	// Settings are in force.
	Settings []Value `json:"settings"`
	// Refused is why the file cannot be used, so that what it held before is; "": it can.
	Refused string `json:"refused"`
}

// Value is a setting of a group as it is in force.
type Value struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// From is "file", or the flag, or "default" if there is none.
	From string `json:"from"`
}

// Explain returns what the process at host uses for a group: values makes the settings of
// the entry that matches.
func (f *File) Explain(g group.Name, host string, values func(*Entry) []Value) Explanation {
	e := f.Of(g)
	all := Explanation{Host: host, File: f.Path(), Entry: e.Number, Match: e.Match, Settings: values(e)}
	if err := f.Failure(); err != nil {
		all.Refused = err.Error()
	}
	return all
}

// FromDefault is Value.From of a setting that neither the file nor a flag names.
const FromDefault = "default"

// Explain returns what is in force: what an entry names, else the value of the flag.
func Explain[T any](name string, named *T, value T, flag string) Value {
	if named != nil {
		value, flag = *named, "file"
	}
	return Value{name, fmt.Sprint(value), flag}
}

// HooksOf returns which hooks there are.
func HooksOf(before, after bool) Hooks {
	switch {
	case before && after:
		return HooksBoth
	case before:
		return HooksBefore
	case after:
		return HooksAfter
	}
	return HooksNone
}

// ExplainHooks is Explain for hooks, of which configured are there.
func ExplainHooks(named *Hooks, configured Hooks) Value {
	if named != nil {
		both := HooksOf(named.Before() && configured.Before(), named.After() && configured.After())
		named = &both
	}
	return Explain("hooks", named, configured, "-hook-before-url, -hook-after-url")
}
