package redisconn

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// setupError is the error of a connection that could not be used, as after a change
// of passwords: its first commands (HELLO, AUTH, SELECT) failed, and no other was sent.
//
// It has no Unwrap, so that go-redis does not take it for an answer to a command:
// then go-redis would leave the commands of a pipeline without an error, as if they
// had succeeded with empty answers.
type setupError struct{ cause error }

// Error implements error.
func (e setupError) Error() string { return "set up a connection: " + e.cause.Error() }

// Is makes errors.Is find the cause.
func (e setupError) Is(target error) bool { return errors.Is(e.cause, target) }

// outcome is that of a command that waited for the connection.
func (e setupError) outcome() Outcome {
	switch OutcomeOf(e.cause) {
	case NotDone, Unknown:
		return NotDone
	default: // an answer, whatever it says
		return Refused
	}
}

// setupFailures is a hook that makes setupErrors. go-redis runs the hooks of a
// client for the first commands of its connections, too.
type setupFailures struct{ plainHook }

// ProcessHook implements redis.Hook.
func (setupFailures) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err != nil && failsSetup(cmd.Name(), err) {
			err = setupError{err}
			cmd.SetErr(err)
		}
		return err
	}
}

// failsSetup reports whether err of a command ends the set-up of a connection. It
// goes on, with AUTH, after a server's refusal of HELLO.
func failsSetup(command string, err error) bool {
	switch command {
	case "auth":
		return true
	case "hello":
		var answer redis.Error
		return !errors.As(err, &answer) || strings.Contains(err.Error(), maxClients)
	}
	return false
}

// ProcessPipelineHook implements redis.Hook.
func (setupFailures) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err != nil && (cmds[0].Name() == "select" || cmds[0].Name() == "client") {
			err = setupError{err}
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

// nodesOf calls f for each client that has connections, also of nodes to come.
func nodesOf(client redis.UniversalClient, f func(node redis.UniversalClient)) {
	if c, ok := client.(*redis.ClusterClient); ok {
		c.OnNewNode(func(node *redis.Client) { f(node) })
		return
	}
	f(client)
}
