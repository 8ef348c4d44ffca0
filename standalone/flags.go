package standalone

import (
	"flag"
	"strings"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/services/config"
)

// RegisterFlags defines the flags of both services. Where both have a flag of
// one name it is the edge's, and the history service's begins with "grpc-".
// Otherwise they are as the services define them, but for these:
// -max-message-bytes, -groups-file and those about access are for both, -redis may be empty,
// and -history and -history-tls... do not exist.
func (c *Config) RegisterFlags(fs *flag.FlagSet) {
	face, history := flagsOf(c.Edge.RegisterFlags), flagsOf(c.History.RegisterFlags)
	face.VisitAll(func(f *flag.Flag) {
		switch {
		case f.Name == "history" || strings.HasPrefix(f.Name, "history-tls"):
		case shared(f.Name):
			fs.Var(both{f.Value, history.Lookup(f.Name).Value}, f.Name, f.Usage)
		default:
			fs.Var(f.Value, f.Name, f.Usage)
		}
	})
	history.VisitAll(func(f *flag.Flag) {
		switch {
		case shared(f.Name):
		case f.Name == "redis":
			fs.Var(f.Value, f.Name, f.Usage+";\nif unset, an embedded store that keeps nothing after exit")
		case historyFlag(f.Name, face) != f.Name:
			fs.Var(f.Value, historyFlag(f.Name, face), "history service: "+f.Usage)
		default:
			fs.Var(f.Value, f.Name, f.Usage)
		}
	})
}

// historyFlag returns the name here of a flag of the history service.
func historyFlag(name string, face *flag.FlagSet) string {
	if !shared(name) && face.Lookup(name) != nil {
		return "grpc-" + name
	}
	return name
}

// shared reports whether one flag is for both services.
func shared(name string) bool {
	return name == "max-message-bytes" || access.Shared(name) || hooks.Shared(name) || name == groupsettings.FlagName
}

func flagsOf(register func(*flag.FlagSet)) *flag.FlagSet {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	register(fs)
	return fs
}

// both is one flag for two settings of the same kind and default.
type both struct{ one, other flag.Value }

func (b both) Set(s string) error {
	if err := b.one.Set(s); err != nil {
		return err
	}
	return b.other.Set(s)
}

// String works on the zero value too, as package flag asks for.
func (b both) String() string {
	if b.one == nil {
		return ""
	}
	return b.one.String()
}

// Get implements flag.Getter.
func (b both) Get() any { return config.Get(b.one) }
