package redisconn

import (
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestARoundTripIsNamedForWhatItDoes(t *testing.T) {
	of := func(args ...any) *redis.Cmd { return redis.NewCmd(t.Context(), args...) }
	ours := func(kind CallKind, args ...any) Command { return NewCommand(t.Context(), kind, 0, args...) }
	for _, tt := range []struct {
		want CallKind
		cmds []redis.Cmder
	}{
		{CallAppend, []redis.Cmder{ours(CallAppend, "evalsha", "x", 0), ours(CallAppend, "publish", "c", "p")}},
		{CallScript, []redis.Cmder{ours(CallScript, "evalsha", "x", 0)}},
		{CallScript, []redis.Cmder{of("evalsha", "x", 0)}},
		{CallScript, []redis.Cmder{of("multi"), of("llen", "l"), of("evalsha", "x", 0), of("exec")}},
		{CallCommand, []redis.Cmder{of("multi"), of("lrange", "l", 0, 1), of("exec")}},
		{CallCommand, []redis.Cmder{of("ping")}},
	} {
		if got := kindOf(tt.cmds...); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.cmds, got, tt.want)
		}
	}
}
