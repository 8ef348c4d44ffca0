// Package config fills a program's flags from the command line, the
// environment and a YAML file, in this order of precedence.
//
// The flag "read-limit" is the environment variable GOTAPI_READ_LIMIT and the
// YAML key read-limit. A flag or a YAML key that nobody defined is an error. A
// variable is not: several programs may share one environment, and Kubernetes
// puts variables of its own (GOTAPI_EDGE_SERVICE_HOST) into it.
package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/peterbourgon/ff/v3"
	"github.com/peterbourgon/ff/v3/ffyaml"
)

const (
	envPrefix  = "GOTAPI"
	configFlag = "config"
)

// ErrHelp is what Parse returns when the command line asks for help.
var ErrHelp = flag.ErrHelp

// Parse fills the flags of fs. It adds the flag -config, the path of the YAML
// file. It prints nothing: its error is one line that names the setting.
func Parse(fs *flag.FlagSet, args []string) error {
	fs.String(configFlag, "", "`path` of a YAML file with settings, one \"flag: value\" a line")
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}

	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	endActions(fs)
	// The command line has been read: fs knows which flags it set, and ff
	// leaves those alone.
	err := ff.Parse(fs, nil,
		ff.WithEnvVarPrefix(envPrefix),
		ff.WithConfigFileFlag(configFlag),
		ff.WithConfigFileParser(ffyaml.Parser))
	return oneLine(err)
}

// EnvName returns the environment variable of a flag.
func EnvName(flagName string) string {
	return envPrefix + "_" + strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToUpper(flagName))
}

// oneLine joins the lines of err: YAML errors have several.
func oneLine(err error) error {
	if err == nil || !strings.Contains(err.Error(), "\n") {
		return err
	}
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}
