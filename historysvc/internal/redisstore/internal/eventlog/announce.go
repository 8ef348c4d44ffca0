package eventlog

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// announcer puts on the bus what waited in Redis until Acks confirmed it.
//
// After a failover, a replica may have payloads pending that its master had
// announced. Followers know messages and changes by their place, so a second time
// does no harm; broadcasts have none, so they never wait in Redis.
type announcer struct {
	conn   *redisconn.Conn
	script *redisconn.Script
}

func newAnnouncer(conn *redisconn.Conn) *announcer {
	return &announcer{conn, conn.Script(announceSource, 0)}
}

// announce publishes the payloads of groups up to these numbers, and with them
// everything stored before. What gets lost here, followers find in the store.
func (a *announcer) announce(ctx context.Context, numbers map[group.Name]int64) {
	if unknown := a.attempt(ctx, numbers, true); len(unknown) > 0 {
		a.attempt(ctx, unknown, false)
	}
}

// attempt returns what failed because the server does not know the script.
func (a *announcer) attempt(ctx context.Context, numbers map[group.Name]int64, known bool) map[group.Name]int64 {
	if len(numbers) == 0 {
		return nil
	}
	sent := make(map[group.Name]redisconn.Command, len(numbers))
	a.conn.ExecEach(ctx, func(pipe redis.Pipeliner) {
		for g, n := range numbers {
			k := layout.KeysOf(g)
			args := a.script.Args(known, []string{k.Meta, k.Pending}, 3)
			sent[g] = a.conn.EvalCommand(ctx, redisconn.CallScript, a.script, append(args, n, a.conn.PublishCommand(), k.Channel))
			_ = pipe.Process(ctx, sent[g]) // only queues
		}
	})
	unknown := make(map[group.Name]int64)
	for g, cmd := range sent {
		if redisconn.OutcomeOf(cmd.Err()) == redisconn.NoScript {
			unknown[g] = numbers[g]
		}
	}
	return unknown
}
