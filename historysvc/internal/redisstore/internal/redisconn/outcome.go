package redisconn

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
)

// Outcome is what became of a command.
type Outcome uint8

// The outcomes of a command.
const (
	// Done: there was no error.
	Done Outcome = iota
	// NotDone: certainly not executed, and worth another try.
	NotDone
	// Refused: certainly not executed, and the next try would end the same way.
	Refused
	// Unknown: it may or may not have been executed.
	Unknown
	// WrongType: a key of the group has an unexpected type or value. Nothing was done.
	WrongType
	// MustAdopt: the group's list has no counters. Nothing was done.
	MustAdopt
	// NoScript: the server does not know the script (any more). Nothing was done.
	NoScript
	// Changed: data that was read before has changed. Nothing was done.
	Changed
	// Broken: anything else, a bug in this program.
	Broken
)

// codes are the error codes of Redis and of our scripts. They are looked for
// anywhere in the text: before version 7, and in miniredis, the error of a
// command inside a script is wrapped in words.
var codes = []struct {
	code    string
	outcome Outcome
}{
	{"WRONGTYPE ", WrongType},
	{"DAMAGED ", WrongType},
	{": attempt to ", WrongType}, // Lua's word for a value that is not there, or not a number
	{"not an integer", WrongType},
	{"ADOPT ", MustAdopt},
	{"ARCHIVE ", Refused},
	{"NOSCRIPT ", NoScript},
	{"EPOCH ", Changed},
	{"LOADING ", NotDone},
	{"READONLY ", NotDone},
	{"CLUSTERDOWN ", NotDone},
	{"MASTERDOWN ", NotDone},
	{"TRYAGAIN ", NotDone},
	{"NOREPLICAS ", NotDone},
	{"MOVED ", NotDone},
	{"ASK ", NotDone},
	{"BUSY ", NotDone},
	{maxClients, NotDone},
	{"OOM ", Refused},
	{"EXECABORT ", Refused},
	{"MISCONF ", Refused},
	// Of a command in a script: others before it may have been executed.
	{"ACL failure in script", Unknown},
	{"The user executing the script", Unknown},
	{"NOAUTH ", Refused},
	{"NOPERM ", Refused},
	{"WRONGPASS ", Refused},
}

// maxClients is in the error (ERR) of a server that accepts no more connections.
const maxClients = "max number of clients"

// OutcomeOf returns the outcome of a command that returned err.
func OutcomeOf(err error) Outcome {
	if err == nil || errors.Is(err, redis.Nil) {
		return Done
	}
	var setup setupError
	if errors.As(err, &setup) {
		return setup.outcome()
	}
	text := err.Error()
	var answer redis.Error
	if errors.As(err, &answer) {
		for _, c := range codes {
			if strings.Contains(text, c.code) {
				return c.outcome
			}
		}
		return Broken
	}
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial",
		errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted), errors.Is(err, redis.ErrClosed),
		// go-redis has no variables for these: no Sentinel answers, or no
		// master is known.
		strings.HasPrefix(text, "redis: all sentinels"), strings.HasPrefix(text, "redis: cluster has no nodes"):
		return NotDone
	}
	return Unknown
}

// Error is the error of the history package for a command that ended so, with
// err; nil if it is done.
func (o Outcome) Error(err error) error {
	switch o {
	case Done:
		return nil
	case NotDone, Refused, NoScript, MustAdopt, Changed:
		return fmt.Errorf("%w: %w", history.ErrUnavailable, err)
	case Unknown:
		return fmt.Errorf("%w: %w", history.ErrUnknown, err)
	case WrongType:
		return fmt.Errorf("%w: %w", history.ErrWrongType, err)
	default:
		return fmt.Errorf("redis: %w", err)
	}
}

// ofRead is the outcome of a command that only reads: without an answer, nothing
// was done.
func (o Outcome) ofRead() Outcome {
	if o == Unknown {
		return NotDone
	}
	return o
}

// ReadError is the error of the history package for a command that only reads.
func ReadError(err error) error { return OutcomeOf(err).ofRead().Error(err) }
