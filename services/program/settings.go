package program

import (
	"flag"
	"os"

	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/telemetry"
	"github.com/gotapi/gotapi-ws/services/tracing"
)

// common are the settings that every program has.
type common struct {
	log       telemetry.LogConfig
	tracing   tracing.Config
	opsListen string
	// Comma-separated.
	opsHosts string

	runtimeTuning bool

	version, probe, checkConfig *bool
}

func (s *common) register(fs *flag.FlagSet) {
	s.log.RegisterFlags(fs)
	s.tracing.RegisterFlags(fs)
	fs.StringVar(&s.opsListen, "ops-listen", "",
		"`address` to serve metrics, health, profiles, the log level and reload on (/metrics, /livez, /readyz,\n/version, /debug/pprof/, /log-level, /reload); keep it private; if unset, off")
	fs.StringVar(&s.opsHosts, "ops-hosts", "",
		"comma-separated host `names` to accept on -ops-listen, besides addresses, names without a dot,\nand names that end in .localhost, .local or .internal")
	fs.BoolVar(&s.runtimeTuning, "runtime-tuning", true,
		"tune the Go runtime for many small messages; see docs/runtime-tuning.md")
	s.version = config.Action(fs, "version", "print version, commit and date, and exit")
	s.probe = config.Action(fs, "probe", "check the health of the process that runs with the same settings, and exit:\n0 if it is healthy, 1 otherwise")
	s.checkConfig = config.Action(fs, "check-config", "check the settings and the files that they name, print each problem, and exit:\n0 without problems, 1 otherwise")
}

// settings are the result of reading all settings of a program once.
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
	s := &settings[S]{own: p.New(), args: args}
	s.flags = flag.NewFlagSet(p.Name, flag.ContinueOnError)
	s.register(s.flags)
	s.own.RegisterFlags(s.flags)
	s.err = config.Parse(s.flags, args)
	return s
}

// serves reports whether the settings start the service. A probe, for example,
// only asks one that is running.
func (s *settings[S]) serves() bool {
	return s.err == nil && !*s.version && !*s.probe && !*s.checkConfig
}

// canBeReadAgain reports whether a second reading finds what this one has found.
func (s *settings[S]) canBeReadAgain() bool {
	return config.CheckAgain(config.Values(s.flags)) == nil
}

// validate returns what is wrong with the values of settings.
func (s *settings[S]) validate() error {
	var wrong config.Errors
	wrong.Add(s.err)
	wrong.Check(s.opsListen == "" || config.IsAddress(s.opsListen), "-ops-listen: %q is not an address such as 127.0.0.1:9090", s.opsListen)
	wrong.Add(s.log.Validate())
	wrong.Add(s.tracing.Validate())
	wrong.Add(s.own.Validate())
	return wrong.Err()
}

// check returns what is wrong with the settings and with the files that they name.
func (s *settings[S]) check() error {
	var wrong config.Errors
	wrong.Add(s.validate())
	wrong.Add(s.own.CheckFiles())
	return wrong.Err()
}

// warnings are what is valid, but not wise.
func (s *settings[S]) warnings() []string {
	var all []string
	for _, name := range config.UnknownVariables(s.flags, os.Environ()) {
		all = append(all, "unknown environment variable "+name+" is ignored")
	}
	for _, path := range readableSecrets(s.own) {
		all = append(all, path+": every user of this machine can read this secret: chmod o= "+path)
	}
	return append(all, s.own.Warnings()...)
}

// Flags returns all flags of p, for its reference.
func (p Program[S]) Flags() *flag.FlagSet {
	s := p.load(nil)
	return s.flags
}
