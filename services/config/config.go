// Package config fills a program's flags from the command line, the
// environment and a YAML file, in this order of precedence.
//
// The flag "read-limit" is the environment variable GOTAPI_READ_LIMIT and the
// YAML key read-limit. An unknown flag or YAML key is an error. A
// variable is not, but see UnknownVariables.
package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	envPrefix  = "GOTAPI"
	configFlag = "config"
)

// ErrHelp is the error of Parse if the command line asks for help.
var ErrHelp = flag.ErrHelp

// Parse fills the flags of fs. It adds the flag -config, the path of the YAML
// file. It prints nothing: its error is Errors, with all problems. A flag with an invalid
// value keeps its previous one.
func Parse(fs *flag.FlagSet, args []string) error {
	err := parseCommandLine(fs, args)
	if errors.Is(err, ErrHelp) {
		return err
	}
	var wrong Errors
	wrong.Add(err)
	defer explainErrors(fs)()
	chosen := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { chosen[f.Name] = true })
	wrong.Add(readEnvironment(fs, chosen))
	wrong.Add(readFile(fs, chosen))
	return wrong.Err()
}

// parseCommandLine reads the part of the settings that says where the rest is.
func parseCommandLine(fs *flag.FlagSet, args []string) error {
	fs.String(configFlag, "", "`path` of a YAML file with settings, one \"flag: value\" per line")
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	defer explainErrors(fs)()
	defer endActions(fs)
	var wrong Errors
	for {
		err := fs.Parse(args)
		if errors.Is(err, ErrHelp) {
			return err
		}
		rest := fs.Args()
		switch {
		case err == nil && len(rest) == 0:
			return wrong.Err()
		case err == nil:
			wrong.Add(fmt.Errorf("unexpected argument %q", rest[0]))
			rest = rest[1:]
		case len(rest) == len(args): // "---" and the like
			wrong.Add(err)
			rest = rest[1:]
		default:
			wrong.Add(err)
			if isUnknownFlag(err) && takesNext(args[len(args)-len(rest)-1], rest) {
				rest = rest[1:]
			}
		}
		args = rest
	}
}

// isUnknownFlag tells it from a bad value. Package flag has no type for it.
func isUnknownFlag(err error) bool {
	return strings.HasPrefix(err.Error(), "flag provided but not defined")
}

// takesNext reports whether the argument after a flag looks like its value.
func takesNext(flagArg string, rest []string) bool {
	return !strings.Contains(flagArg, "=") && len(rest) > 0 && !strings.HasPrefix(rest[0], "-")
}

// readEnvironment sets the flags that are not chosen yet, and marks them as chosen.
func readEnvironment(fs *flag.FlagSet, chosen map[string]bool) error {
	var wrong Errors
	fs.VisitAll(func(f *flag.Flag) {
		value := os.Getenv(EnvName(f.Name))
		if value == "" || chosen[f.Name] {
			return
		}
		chosen[f.Name] = true
		if err := fs.Set(f.Name, value); err != nil {
			wrong.Add(fmt.Errorf("%s: %w", EnvName(f.Name), err))
		}
	})
	return wrong.Err()
}

// EnvName returns the environment variable of a flag.
func EnvName(flagName string) string {
	return envPrefix + "_" + strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToUpper(flagName))
}

// UnknownVariables returns the names of the variables in environ ("NAME=value") that
// look like settings but belong to no flag of fs. They are no error, as they may be for
// other programs. It leaves out the variables that Kubernetes adds
// (GOTAPI_EDGE_SERVICE_HOST, GOTAPI_EDGE_PORT_80_TCP).
func UnknownVariables(fs *flag.FlagSet, environ []string) (names []string) {
	known := make(map[string]bool)
	fs.VisitAll(func(f *flag.Flag) { known[EnvName(f.Name)] = true })
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, envPrefix+"_") && !known[name] && !isServiceLink(name) {
			names = append(names, name)
		}
	}
	return names
}

func isServiceLink(name string) bool {
	return strings.HasSuffix(name, "_PORT") || strings.HasSuffix(name, "_SERVICE_HOST") ||
		strings.Contains(name, "_SERVICE_PORT") || strings.Contains(name, "_TCP") || strings.Contains(name, "_UDP")
}
