// Package cli is the command-line client of gotapi-ws.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/gotapi/gotapi-ws/cli/internal/terminal"
	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Exit codes; docs/cli.md promises them.
const (
	ExitOK = 0
	// ExitFailed: the server refused, or something broke.
	ExitFailed = 1
	// ExitUsage: a command, argument, setting or message is invalid. It was not sent.
	ExitUsage = 2
	// ExitUnreachable: no server answered in time. The outcome is unknown.
	ExitUnreachable = 3
	// ExitNotAllowed: code 401 or 403.
	ExitNotAllowed = 4
	// ExitNotFound: code 404.
	ExitNotFound = 5
	// ExitInterrupted: a signal came before everything was done.
	ExitInterrupted = 130
)

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Env looks up an environment variable, as os.LookupEnv does.
	Env func(string) (string, bool)
}

// usageError is a mistake in the command line, which the command's help explains.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// inputError is an invalid file, message or setting. The command line itself is right.
type inputError struct{ error }

func (e inputError) Unwrap() error { return e.error }

func inputf(format string, args ...any) error { return inputError{fmt.Errorf(format, args...)} }

// errInterrupted is the error of a command that a signal ended early.
var errInterrupted = errors.New("interrupted")

// reportedError is a failure that the command has already reported.
type reportedError struct{ error }

func (e reportedError) Unwrap() error { return e.error }

// Main runs the command that args name until it is done or ctx ends, and returns the exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	a := &app{Streams: s}
	root := a.command()
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	code := exitCode(err)
	if _, said := errors.AsType[reportedError](err); !said {
		colours := terminal.Palette(terminal.Colours(s.Err, s.Env))
		fmt.Fprintf(s.Err, "%s %s\n", colours.Paint(terminal.Red, "gotapi:"), terminal.Printable(err.Error()))
		if _, misused := errors.AsType[usageError](err); misused {
			fmt.Fprintf(s.Err, "gotapi: see %s -h\n", command.CommandPath())
		}
	}
	return code
}

func exitCode(err error) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return ExitUsage
	}
	if _, ok := errors.AsType[inputError](err); ok {
		return ExitUsage
	}
	switch code := gotapi.CodeOf(err); {
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.Is(err, errUnreachable), errors.Is(err, context.DeadlineExceeded),
		code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout, code == http.StatusBadGateway:
		return ExitUnreachable
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return ExitNotAllowed
	case code == http.StatusNotFound:
		return ExitNotFound
	default:
		return ExitFailed
	}
}

// app is one run of the program.
type app struct {
	Streams
	settings settings
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "gotapi",
		Short: "Publish to, read and watch the groups of a gotapi-ws server",
		Long: "gotapi publishes to, reads and watches the groups of a gotapi-ws server.\n\n" +
			"The scheme of the server's URL selects the transport: http and https send a POST for\n" +
			"each message, ws and wss publish over one WebSocket, grpc and grpcs call the history\n" +
			"service directly. A group is a path such as /room/9527/.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q", args[0])
			}
			return nil
		},
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.settings.fromEnvironment(cmd, a.Env)
		},
	}
	a.settings.register(root)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(a.pub(), a.sub(), a.tail(), a.history(), a.cancel(), a.groups(), a.top(), a.status(), a.who(), a.why(), a.config(), a.purge(), a.ttl(), a.token(), a.bench(), a.version())
	finish(root.Commands())
	return root
}

// finish sets what all commands have in common.
func finish(commands []*cobra.Command) {
	for _, c := range commands {
		c.DisableFlagsInUseLine = true
		c.ValidArgsFunction = cobra.NoFileCompletions
		finish(c.Commands())
	}
}

// groupArgument names the argument that is a group.
const groupArgument = "GROUP"

// exactly requires the named arguments, as cobra.ExactArgs does, but returns a usageError.
func exactly(names ...string) cobra.PositionalArgs { return between(len(names), len(names), names...) }

// between requires least to most arguments, of these names. If most < 0, it allows any number.
func between(least, most int, names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least {
			return usagef("%s is missing", names[len(args)])
		}
		if most >= 0 && len(args) > most {
			return usagef("too many arguments: %q", args[most:])
		}
		if len(args) > 0 && len(names) > 0 && names[0] == groupArgument {
			if _, err := group.Parse(args[0]); err != nil {
				return usagef("%s %q: %w", groupArgument, args[0], err)
			}
		}
		return nil
	}
}
