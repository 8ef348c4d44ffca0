package groupsettings

import "fmt"

// Value is a setting of a group as it is in force.
type Value struct {
	Name, Value string
	// From is "file", or the flag, or "default" if there is none.
	From string
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
