package groupcommit

import "github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"

// itemStep is what happens to a publication after a write.
type itemStep uint8

const (
	// It gets its receipt.
	settle itemStep = iota
	// It is written again, before all later ones of its group.
	retry
	// Likewise, and it may have been stored already.
	retryUncertain
)

// groupStep is what happens to the publication's group.
type groupStep uint8

const (
	// It goes on at once.
	proceed groupStep = iota
	// It waits for a moment.
	backOff
	// It waits until it has counters.
	adopt
)

// steps are what happens after one outcome of a batch.
type steps struct {
	message, broadcast itemStep
	group              groupStep
}

// after is the table of outcomes. A message bears to be written twice, since it is
// recognized; a broadcast does not.
var after = map[redisconn.Outcome]steps{
	redisconn.Done:      {message: settle, broadcast: settle, group: proceed},
	redisconn.NotDone:   {message: retry, broadcast: retry, group: backOff},
	redisconn.Unknown:   {message: retryUncertain, broadcast: settle, group: backOff},
	redisconn.MustAdopt: {message: retry, broadcast: retry, group: adopt},
	// Broadcasts do not need the list, and go without the messages now.
	redisconn.WrongType: {message: settle, broadcast: retry, group: proceed},
}

// stepsAfter returns the steps after an outcome. Those that are not in the table
// would not change with another try.
func stepsAfter(o redisconn.Outcome) steps {
	if s, ok := after[o]; ok {
		return s
	}
	return after[redisconn.Done]
}
