package redisconn

import (
	"context"
	"net"

	"github.com/redis/go-redis/v9"
)

// Command is a command that go-redis does not send a second time after a failure
// whose outcome is unknown. Redirections in a Cluster are followed.
type Command struct {
	*redis.Cmd
	kind CallKind
	// Its answer counts when Acks confirm it: see confirmer.
	confirmed bool
}

// NoRetry overrides that of redis.Cmd.
func (Command) NoRetry() bool { return true }

// NewCommand makes a command whose first key is the argument firstKey.
func NewCommand(ctx context.Context, kind CallKind, firstKey int8, args ...any) Command {
	cmd := redis.NewCmd(ctx, args...)
	cmd.SetFirstKeyPos(firstKey)
	return Command{Cmd: cmd, kind: kind}
}

// Exec runs the commands that queue puts into a pipeline, and returns the first
// error of any of them.
func (c *Conn) Exec(ctx context.Context, queue func(redis.Pipeliner)) error {
	return exec(ctx, c.client.Pipeline(), queue)
}

// ExecAtomic is Exec in one transaction.
func (c *Conn) ExecAtomic(ctx context.Context, queue func(redis.Pipeliner)) error {
	return exec(ctx, c.client.TxPipeline(), queue)
}

// ExecEach is Exec for commands that fail each by itself: the caller asks each
// for its error.
func (c *Conn) ExecEach(ctx context.Context, queue func(redis.Pipeliner)) {
	_ = exec(ctx, c.client.Pipeline(), queue)
}

func exec(ctx context.Context, pipe redis.Pipeliner, queue func(redis.Pipeliner)) error {
	queue(pipe)
	cmds, err := pipe.Exec(ctx)
	errs := make([]error, 0, len(cmds)+1)
	for _, cmd := range cmds {
		errs = append(errs, cmd.Err())
	}
	return FirstError(append(errs, err)...)
}

// FirstError is the first of errs that is one: a value that is not there is none.
func FirstError(errs ...error) error {
	for _, err := range errs {
		if OutcomeOf(err) != Done {
			return err
		}
	}
	return nil
}

// plainHook is a redis.Hook that changes nothing, for others to begin with.
type plainHook struct{}

// DialHook implements redis.Hook.
func (plainHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (plainHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (plainHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
