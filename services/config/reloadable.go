package config

import "flag"

// MarkReloadable notes that these flags of fs, which must exist, may change
// while the program runs.
func MarkReloadable(fs *flag.FlagSet, names ...string) {
	for _, name := range names {
		f := fs.Lookup(name)
		f.Value = reloadable{f.Value}
	}
}

// Reloadable reports whether f is so marked.
func Reloadable(f *flag.Flag) bool {
	_, ok := f.Value.(reloadable)
	return ok
}

// reloadable is the mark.
type reloadable struct{ flag.Value }

// String works on the zero value too, as package flag asks for.
func (r reloadable) String() string {
	if r.Value == nil {
		return ""
	}
	return r.Value.String()
}

// IsBoolFlag makes "-x" mean "-x=true" where that was so without the mark.
func (r reloadable) IsBoolFlag() bool { return isBool(r.Value) }

// Get implements flag.Getter.
func (r reloadable) Get() any { return Get(r.Value) }

// Get returns the value of v; nil if v is not a flag.Getter.
func Get(v flag.Value) any {
	g, ok := v.(flag.Getter)
	if !ok {
		return nil
	}
	return g.Get()
}

func isBool(v flag.Value) bool {
	b, ok := v.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// bare is f without the mark, so that package flag sees what kind of value it has.
func bare(f *flag.Flag) *flag.Flag {
	r, ok := f.Value.(reloadable)
	if !ok {
		return f
	}
	without := *f
	without.Value = r.Value
	return &without
}

// Changes are the differences between two readings of the same settings.
type Changes struct {
	// Names of flags: those that may change while the program runs, and the others.
	Reloadable, Fixed []string
}

// Values returns the values of all flags but actions.
func Values(fs *flag.FlagSet) map[string]string {
	values := make(map[string]string)
	fs.VisitAll(func(f *flag.Flag) {
		if _, ok := f.Value.(*action); !ok {
			values[f.Name] = f.Value.String()
		}
	})
	return values
}

// Compare says how fs differs from the values of before.
func Compare(before map[string]string, fs *flag.FlagSet) (c Changes) {
	after := Values(fs)
	fs.VisitAll(func(f *flag.Flag) {
		value, ok := after[f.Name]
		switch {
		case !ok || value == before[f.Name]:
		case Reloadable(f):
			c.Reloadable = append(c.Reloadable, f.Name)
		default:
			c.Fixed = append(c.Fixed, f.Name)
		}
	})
	return c
}
