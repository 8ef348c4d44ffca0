package program

import (
	"flag"

	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/telemetry"
	"github.com/gotapi/gotapi-ws/services/tracing"
)

// common are the settings that every program has.
type common struct {
	log       telemetry.LogConfig
	tracing   tracing.Config
	opsListen string

	version, probe, checkConfig *bool
}

func (s *common) register(fs *flag.FlagSet) {
	s.log.RegisterFlags(fs)
	s.tracing.RegisterFlags(fs)
	fs.StringVar(&s.opsListen, "ops-listen", "",
		"`address` of metrics, health, profiles, the log level and reload (/metrics, /livez, /readyz,\n/version, /debug/pprof/, /log-level, /reload); not for the public; none: off")
	s.version = config.Action(fs, "version", "print version, commit and date, and exit")
	s.probe = config.Action(fs, "probe", "ask the process that runs with the same settings whether it is well:\nexit 0 if it is, 1 if not")
	s.checkConfig = config.Action(fs, "check-config", "say all that is wrong with the settings, and the files that they name,\nand exit: 0 if nothing is, 1 otherwise")
}

// settings are one reading of everything that a program is told.
type settings[S Settings] struct {
	common
	own   S
	flags *flag.FlagSet
	// The command line.
	args []string
	// What was wrong with the reading.
	err error
}

func (p Program[S]) load(args []string) *settings[S] {
	s := p.unread(args)
	s.err = config.Parse(s.flags, args)
	return s
}

// serves says that the service is to run: that the program is not just asked
// something, as a probe does every few seconds.
func (p Program[S]) serves(args []string) bool {
	s := p.unread(args)
	return config.ParseCommandLine(s.flags, args) == nil && !*s.version && !*s.probe && !*s.checkConfig
}

// unread are settings with their flags, which have their defaults.
func (p Program[S]) unread(args []string) *settings[S] {
	s := &settings[S]{own: p.New(), args: args}
	s.flags = flag.NewFlagSet(p.Name, flag.ContinueOnError)
	s.register(s.flags)
	s.own.RegisterFlags(s.flags)
	return s
}

func (s *settings[S]) validate() error {
	var wrong config.Errors
	wrong.Add(s.log.Validate())
	wrong.Add(s.tracing.Validate())
	wrong.Add(s.own.Validate())
	return wrong.Err()
}

// Flags returns all flags of p, for its reference.
func (p Program[S]) Flags() *flag.FlagSet {
	s := p.load(nil)
	return s.flags
}
