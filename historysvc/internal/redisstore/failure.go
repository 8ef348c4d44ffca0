package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
)

// fate is what an error says about a command.
type fate uint8

const (
	// done: there was no error.
	done fate = iota
	// notDone: certainly not executed, and worth another try.
	notDone
	// refused: certainly not executed, and the next try would end the same way.
	refused
	// unknown: it may or may not have been executed.
	unknown
	// wrongType: the group's key is not a list. Nothing was done.
	wrongType
	// mustAdopt: the group's list has no counters. Nothing was done.
	mustAdopt
	// noScript: the server does not know the script (any more). Nothing was done.
	noScript
	// epochChanged: what was read before is no longer so. Nothing was done.
	epochChanged
	// broken: anything else, a mistake of ours.
	broken
)

// codes are the error codes of Redis and of our scripts. They are looked for
// anywhere in the text: before version 7, and in miniredis, the error of a
// command inside a script is wrapped in words.
var codes = []struct {
	code string
	fate fate
}{
	{"WRONGTYPE ", wrongType},
	{"ADOPT ", mustAdopt},
	{"ARCHIVE ", refused},
	{"NOSCRIPT ", noScript},
	{"EPOCH ", epochChanged},
	{"LOADING ", notDone},
	{"READONLY ", notDone},
	{"CLUSTERDOWN ", notDone},
	{"MASTERDOWN ", notDone},
	{"TRYAGAIN ", notDone},
	{"NOREPLICAS ", notDone},
	{"MOVED ", notDone},
	{"ASK ", notDone},
	{"BUSY ", notDone},
	{"max number of clients", notDone},
	{"OOM ", refused},
	{"EXECABORT ", refused},
	{"MISCONF ", refused},
	{"NOAUTH ", refused},
	{"NOPERM ", refused},
	{"WRONGPASS ", refused},
}

func fateOf(err error) fate {
	if err == nil || errors.Is(err, redis.Nil) {
		return done
	}
	text := err.Error()
	var answer redis.Error
	if errors.As(err, &answer) {
		for _, c := range codes {
			if strings.Contains(text, c.code) {
				return c.fate
			}
		}
		return broken
	}
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial",
		errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted), errors.Is(err, redis.ErrClosed),
		// go-redis has no variables for these: no Sentinel answers, or no
		// master is known.
		strings.HasPrefix(text, "redis: all sentinels"), strings.HasPrefix(text, "redis: cluster has no nodes"):
		return notDone
	}
	return unknown
}

// domainError is the error of the history package for a command that was
// executed, or not, as f says.
func domainError(f fate, err error) error {
	switch f {
	case done:
		return nil
	case notDone, refused, noScript, mustAdopt, epochChanged:
		return fmt.Errorf("%w: %w", history.ErrUnavailable, err)
	case unknown:
		return fmt.Errorf("%w: %w", history.ErrUnknown, err)
	case wrongType:
		return history.ErrWrongType
	default:
		return fmt.Errorf("redis: %w", err)
	}
}

// Backoff of everything that is tried again.
const (
	minBackoff = 10 * time.Millisecond
	maxBackoff = 250 * time.Millisecond
)

// backoff is the pause before try n (from 1) after a failure: doubled each
// time, and spread, so that those who failed together do not come back together.
func backoff(n int) time.Duration {
	d := min(minBackoff<<min(n-1, 10), maxBackoff)
	return d/2 + rand.N(d/2)
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
