package redisconn

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestErrorsTellWhatBecameOfACommand(t *testing.T) {
	server := redistest.Shared(t)
	dialError := func() error {
		c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
		defer c.Close()
		return c.Ping(t.Context()).Err()
	}()
	c := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer c.Close()
	answer := func(text string) error {
		return c.Eval(t.Context(), "return redis.error_reply(ARGV[1])", nil, text).Err()
	}
	for _, test := range []struct {
		err  error
		want Outcome
	}{
		{nil, Done},
		{redis.Nil, Done},
		{dialError, NotDone},
		{redis.ErrClosed, NotDone},
		{redis.ErrPoolTimeout, NotDone},
		{answer("LOADING x"), NotDone},
		{answer("READONLY x"), NotDone},
		{answer("CLUSTERDOWN x"), NotDone},
		{answer("TRYAGAIN x"), NotDone},
		{answer("MASTERDOWN x"), NotDone},
		{answer("NOREPLICAS x"), NotDone},
		{answer("OOM x"), Refused},
		{answer("MISCONF x"), Refused},
		{answer("NOPERM x"), Refused},
		{answer("NOAUTH x"), Refused},
		{answer("ERR Error running script (call to f_1): @user_script:1: WRONGTYPE x"), WrongType},
		{answer("ADOPT x"), MustAdopt},
		{answer("EPOCH x"), Changed},
		{redis.ErrNoScript, NoScript},
		{answer("ERR something else"), Broken},
		{io.EOF, Unknown},
		{context.DeadlineExceeded, Unknown},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, Unknown},
	} {
		if got := OutcomeOf(test.err); got != test.want {
			t.Errorf("%v: outcome %d, want %d", test.err, got, test.want)
		}
	}
}
