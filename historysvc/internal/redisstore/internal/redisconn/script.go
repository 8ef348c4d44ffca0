package redisconn

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Script is a Lua script.
type Script struct {
	hash, source string
	traits       Trait
}

// Trait is what matters when a script fails.
type Trait uint8

// The traits of scripts.
const (
	// Writes: it changes something, so no answer means an unknown outcome.
	Writes Trait = 1 << iota
	// Confirmed: its answer counts when Acks confirm what it did, or read.
	Confirmed
)

// Script prepares a script for the server. Where the server knows the shebang line (Redis
// 7, Valkey), it checks the script's keys and, unless a flag allows it, refuses the
// script before its first command when memory is short: history can be read and messages
// recalled then, too. Older servers take the line for a mistake.
func (c *Conn) Script(source string, traits Trait) *Script {
	if !c.shebangs {
		_, source, _ = strings.Cut(source, "\n")
	}
	return &Script{hash: redis.NewScript(source).Hash(), source: source, traits: traits}
}

// Eval runs a script, again while it fails: it must bear to run twice. Its
// errors are those of the history package.
func (c *Conn) Eval(ctx context.Context, s *Script, keys []string, args ...any) (*Reply, error) {
	maybe := false
	for n := 1; ; n++ {
		reply, err := c.evalOnce(ctx, s, keys, args)
		o := OutcomeOf(err)
		maybe = maybe || o == Unknown && s.traits&Writes != 0
		switch {
		case o == Done:
			return NewReply(reply), nil
		case o.retry(ctx, n):
			continue
		case maybe:
			return nil, Unknown.Error(err)
		default:
			return nil, o.ofRead().Error(err)
		}
	}
}

func (c *Conn) evalOnce(ctx context.Context, s *Script, keys []string, args []any) (any, error) {
	timeout := c.timeout
	if s.traits&Confirmed != 0 {
		timeout += c.Acks().Timeout
	}
	ctx, cancel := Bound(ctx, timeout)
	defer cancel()
	attempt := func(known bool) (any, error) {
		cmd := c.EvalCommand(ctx, CallScript, s, append(s.Args(known, keys, len(args)), args...))
		if cmd.confirmed { // only a pipeline can wait behind it
			c.ExecEach(ctx, func(pipe redis.Pipeliner) { _ = pipe.Process(ctx, cmd) })
		} else {
			_ = c.client.Process(ctx, cmd.Cmd) // it bears the driver's retries, too
		}
		return cmd.Result()
	}
	reply, err := attempt(true)
	if OutcomeOf(err) == NoScript {
		reply, err = attempt(false)
	}
	return reply, err
}

// Args begins the arguments of EvalCommand, with room for more: the script by its
// hash if Redis knows it, else its source, which Redis then knows, and the keys.
func (s *Script) Args(known bool, keys []string, room int) []any {
	args := make([]any, 0, 3+len(keys)+room)
	if known {
		args = append(args, "evalsha", s.hash, len(keys))
	} else {
		args = append(args, "eval", s.source, len(keys))
	}
	for _, k := range keys {
		args = append(args, k)
	}
	return args
}

// EvalCommand is a call of a script, for a pipeline. args begin with Script.Args.
func (c *Conn) EvalCommand(ctx context.Context, kind CallKind, s *Script, args []any) Command {
	cmd := NewCommand(ctx, kind, 3, args...)
	cmd.confirmed = s.traits&Confirmed != 0 && c.Acks().Wanted()
	return cmd
}
