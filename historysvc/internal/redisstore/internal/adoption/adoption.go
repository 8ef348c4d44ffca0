// Package adoption takes over lists that are older than this service: those of the old
// server and of other programs.
package adoption

import (
	"context"
	"crypto/md5" //nolint:gosec // what the old server used to name texts
	_ "embed"    // the scripts
	"encoding/hex"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/internal/metric"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// The scripts. Their head comments say what they take and return.
var (
	//go:embed adopt.lua
	adoptSource string
	//go:embed erase.lua
	eraseSource string
)

const (
	// How many lists are adopted at once.
	parallel = 4
	// How many elements of a list one round trip reads.
	chunk = 512
)

// Adopter adopts lists. Its method is safe for concurrent use.
type Adopter struct {
	conn         *redisconn.Conn
	adopt, erase *redisconn.Script
	log          *slog.Logger
	adopted      prometheus.Counter
	// Holds a token per adoption under way.
	semaphore chan struct{}
}

// New makes an Adopter.
func New(conn *redisconn.Conn, log *slog.Logger, reg prometheus.Registerer) *Adopter {
	return &Adopter{
		conn: conn, log: log,
		adopt:     conn.Script(adoptSource, redisconn.Writes),
		erase:     conn.Script(eraseSource, redisconn.Writes),
		adopted:   metric.In(reg).Counter("gotapi_history_adopted_total", "Lists of an older server that this service has adopted."),
		semaphore: make(chan struct{}, parallel),
	}
}

// Adopt makes the counters of a list. First it erases the messages that the old
// server had recalled, which kept their texts and hid them. Several processes may
// adopt the same list at once.
func (a *Adopter) Adopt(ctx context.Context, g group.Name) error {
	select {
	case a.semaphore <- struct{}{}:
		defer func() { <-a.semaphore }()
	case <-ctx.Done():
		return redisconn.NotDone.Error(ctx.Err())
	}
	if err := a.eraseOldRecalls(ctx, g); err != nil {
		return err
	}
	k := layout.KeysOf(g)
	adopted, err := a.conn.Eval(ctx, a.adopt, k.All(), time.Now().UnixMilli(), layout.NewEpoch(), layout.NewLink())
	if err == nil && adopted.Int() == 1 {
		a.adopted.Inc()
		a.log.InfoContext(ctx, "list adopted", "group", g)
	}
	return err
}

// eraseOldRecalls overwrites the messages of the list that are named in the old
// server's set. Places are counted from the oldest message, so that appends do
// not move them.
func (a *Adopter) eraseOldRecalls(ctx context.Context, g group.Name) error {
	old, k := layout.OldRecallsKey(g), layout.KeysOf(g)
	n, err := redisconn.Retry(ctx, a.conn, func(ctx context.Context) (int64, error) { return a.conn.Client().SCard(ctx, old).Result() })
	if err != nil || n == 0 {
		return err
	}
	for at := int64(0); ; at += chunk {
		texts, err := redisconn.Retry(ctx, a.conn, func(ctx context.Context) ([]string, error) {
			return a.conn.Client().LRange(ctx, k.List, -at-chunk, -at-1).Result()
		})
		if err != nil || len(texts) == 0 {
			return err
		}
		recalled, err := a.recalled(ctx, old, texts)
		if err != nil {
			return err
		}
		var args []any
		for i, text := range texts {
			if recalled[i] {
				args = append(args, -at-int64(len(texts)-i), text, packet.Tombstone(layout.UUIDOf(text)))
			}
		}
		if len(args) == 0 {
			continue
		}
		erased, err := a.conn.Eval(ctx, a.erase, []string{k.List, k.Meta}, args...)
		if err != nil || erased.Int() == 0 {
			return err
		}
	}
}

// recalled reports of each text whether it is named in the old server's set.
func (a *Adopter) recalled(ctx context.Context, old string, texts []string) ([]bool, error) {
	return redisconn.Retry(ctx, a.conn, func(ctx context.Context) ([]bool, error) {
		named := make([]*redis.BoolCmd, len(texts))
		err := a.conn.Exec(ctx, func(pipe redis.Pipeliner) {
			for i, text := range texts {
				sum := md5.Sum([]byte(text)) //nolint:gosec // see the import
				named[i] = pipe.SIsMember(ctx, old, hex.EncodeToString(sum[:]))
			}
		})
		found := make([]bool, len(texts))
		for i, cmd := range named {
			var one error
			found[i], one = cmd.Result()
			err = redisconn.FirstError(err, one)
		}
		return found, err
	})
}
