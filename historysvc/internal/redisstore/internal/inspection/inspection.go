// Package inspection tells operators what the store keeps and how it is. Each call is
// bounded: it reads a few keys, or one page of them.
package inspection

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Inspector implements the reads of history.Admin. Its methods are safe for concurrent
// use.
type Inspector struct {
	conn *redisconn.Conn
	// Held while groups are listed: one caller at a time costs the store enough.
	listing chan struct{}
}

// New makes an Inspector.
func New(conn *redisconn.Conn) *Inspector {
	return &Inspector{conn: conn, listing: make(chan struct{}, 1)}
}

// How many elements of a key MEMORY USAGE looks at: of one group's, and of each of many.
const (
	manySamples = 100
	fewSamples  = 5
)

// Inspect implements history.Admin.
func (i *Inspector) Inspect(ctx context.Context, g group.Name) (history.Inspection, error) {
	k := layout.KeysOf(g)
	return redisconn.Retry(ctx, i.conn, func(ctx context.Context) (history.Inspection, error) {
		var (
			counters       *redis.SliceCmd
			length         *redis.IntCmd
			newest, oldest *redis.StringCmd
			left           *redis.DurationCmd
			sizes          []*redis.IntCmd
		)
		err := i.conn.Exec(ctx, func(pipe redis.Pipeliner) {
			counters = pipe.HMGet(ctx, k.Meta, "seq", "changes", "ttl")
			length = pipe.LLen(ctx, k.List)
			left = pipe.PTTL(ctx, k.List)
			newest = pipe.LIndex(ctx, k.Links, 0)
			sizes = queueSizes(ctx, pipe, &k, i.samples(manySamples)...)
		})
		if err != nil {
			return history.Inspection{}, err
		}
		var found history.Inspection
		var expiry time.Duration
		n, _ := length.Result()
		found.Messages = int(n)
		if n > 0 {
			err = i.conn.Exec(ctx, func(pipe redis.Pipeliner) { oldest = pipe.LIndex(ctx, k.Links, n-1) })
			if err != nil {
				return history.Inspection{}, err
			}
			found.Oldest, found.Newest = storedAt(oldest), storedAt(newest)
		}
		found.Seq, found.Changes, expiry = counted(counters)
		found.Bytes = sum(sizes)
		if rest, _ := left.Result(); rest > 0 {
			found.ExpiresIn = rest
			if found.Newest.IsZero() && expiry >= rest {
				found.Newest = time.Now().Add(rest - expiry)
			}
		}
		return found, nil
	})
}

// samples are an argument of MEMORY USAGE, which the imitation does not know.
func (i *Inspector) samples(n int) []int {
	if i.conn.Embedded() {
		return nil
	}
	return []int{n}
}

// queueSizes asks for the memory of all keys of a group.
func queueSizes(ctx context.Context, pipe redis.Pipeliner, k *layout.Keys, samples ...int) []*redis.IntCmd {
	keys := append(k.All(), k.Pending)
	sizes := make([]*redis.IntCmd, len(keys))
	for i, key := range keys {
		sizes[i] = pipe.MemoryUsage(ctx, key, samples...)
	}
	return sizes
}

// sum adds the answers. A key that is not there has none.
func sum(sizes []*redis.IntCmd) (bytes int64) {
	for _, size := range sizes {
		if n, err := size.Result(); err == nil {
			bytes += n
		}
	}
	return bytes
}

// counted reads counters. What others have made of them counts as 0: damage is shown
// by what uses them.
func counted(cmd *redis.SliceCmd) (seq, changes uint64, ttl time.Duration) {
	values, _ := cmd.Result()
	number := func(i int) uint64 {
		if i >= len(values) {
			return 0
		}
		text, _ := values[i].(string)
		n, _ := strconv.ParseUint(text, 10, 53)
		return n
	}
	return number(0), number(1), time.Duration(number(2)) * time.Millisecond
}

// storedAt is the time in an entry of the list of links, if it has one.
func storedAt(cmd *redis.StringCmd) time.Time {
	entry, _ := cmd.Result()
	if at := layout.ParseEntry(entry).At; at != 0 {
		return time.UnixMilli(at)
	}
	return time.Time{}
}

var errPage = fmt.Errorf("%w: no such page", history.ErrNotFound)

// StoredGroups implements history.Admin. A page is the number of a node, in the order of
// their addresses, and the cursor of SCAN there.
func (i *Inspector) StoredGroups(ctx context.Context, page string, size int) ([]history.StoredGroup, string, error) {
	select {
	case i.listing <- struct{}{}:
		defer func() { <-i.listing }()
	default:
		return nil, "", fmt.Errorf("%w: groups are being listed", history.ErrBusy)
	}
	node, cursor, err := parsePage(page)
	if err != nil {
		return nil, "", err
	}
	nodes, err := i.nodes(ctx)
	if err != nil {
		return nil, "", err
	}
	if node >= len(nodes) {
		return nil, "", errPage
	}
	names, err := redisconn.Retry(ctx, i.conn, func(ctx context.Context) (names []string, err error) {
		names, cursor, err = scan(ctx, nodes[node], cursor, size)
		return names, err
	})
	if err != nil {
		return nil, "", err
	}
	groups, err := i.look(ctx, names)
	switch {
	case err != nil:
		return nil, "", err
	case cursor != 0:
		return groups, formatPage(node, cursor), nil
	case node+1 < len(nodes):
		return groups, formatPage(node+1, 0), nil
	}
	return groups, "", nil
}

func formatPage(node int, cursor uint64) string { return fmt.Sprintf("%d.%d", node, cursor) }

func parsePage(page string) (node int, cursor uint64, err error) {
	if page == "" {
		return 0, 0, nil
	}
	left, right, _ := strings.Cut(page, ".")
	node, err = strconv.Atoi(left)
	if err == nil {
		cursor, err = strconv.ParseUint(right, 10, 64)
	}
	if err != nil || node < 0 {
		return 0, 0, errPage
	}
	return node, cursor, nil
}

// scan looks at about size keys of a node. Histories are the lists whose names are those
// of groups.
func scan(ctx context.Context, node redis.Cmdable, cursor uint64, size int) ([]string, uint64, error) {
	return node.ScanType(ctx, cursor, "/*", int64(size), "list").Result()
}

// look describes groups, those that are gone by now left out.
func (i *Inspector) look(ctx context.Context, names []string) ([]history.StoredGroup, error) {
	names = slices.DeleteFunc(names, func(name string) bool { _, err := group.Parse(name); return err != nil })
	return redisconn.Retry(ctx, i.conn, func(ctx context.Context) ([]history.StoredGroup, error) {
		lengths, counters := make([]*redis.IntCmd, len(names)), make([]*redis.SliceCmd, len(names))
		sizes := make([][]*redis.IntCmd, len(names))
		err := i.conn.Exec(ctx, func(pipe redis.Pipeliner) {
			for n, name := range names {
				k := layout.KeysOf(group.Name(name))
				lengths[n] = pipe.LLen(ctx, k.List)
				counters[n] = pipe.HMGet(ctx, k.Meta, "seq", "changes", "ttl")
				sizes[n] = queueSizes(ctx, pipe, &k, i.samples(fewSamples)...)
			}
		})
		// A key of another type is that group's own trouble.
		if o := redisconn.OutcomeOf(err); o != redisconn.Done && o != redisconn.WrongType {
			return nil, err
		}
		groups := make([]history.StoredGroup, 0, len(names))
		for n, name := range names {
			length, _ := lengths[n].Result()
			if length == 0 {
				continue
			}
			seq, _, _ := counted(counters[n])
			groups = append(groups, history.StoredGroup{Name: group.Name(name), Messages: int(length), Bytes: sum(sizes[n]), Seq: seq})
		}
		return groups, nil
	})
}

// node is a master. Outside a Cluster its address is "".
type node struct {
	redis.Cmdable
	addr string
}

// nodes are the masters, in the order of their addresses.
func (i *Inspector) nodes(ctx context.Context) ([]node, error) {
	cluster, ok := i.conn.Client().(*redis.ClusterClient)
	if !ok {
		return []node{{Cmdable: i.conn.Client()}}, nil
	}
	var mu sync.Mutex
	var masters []node
	err := cluster.ForEachMaster(ctx, func(_ context.Context, client *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		masters = append(masters, node{client, client.Options().Addr})
		return nil
	})
	if err != nil {
		return nil, redisconn.ReadError(err)
	}
	if len(masters) == 0 {
		return nil, fmt.Errorf("%w: no master is known", history.ErrUnavailable)
	}
	slices.SortFunc(masters, func(a, b node) int { return cmp.Compare(a.addr, b.addr) })
	return masters, nil
}

// Condition implements history.Admin.
func (i *Inspector) Condition(ctx context.Context) (history.Condition, error) {
	if i.conn.Embedded() { // it tells nothing about itself
		return history.Condition{Kind: "embedded", Nodes: 1}, redisconn.ReadError(i.conn.Ping(ctx))
	}
	all := history.Condition{Mode: i.conn.Mode()}
	for _, advice := range i.conn.Refusals() {
		all.Alarms = append(all.Alarms, history.Alarm{Name: alertRefuses, Text: "redis refused calls within the last minute: " + advice})
	}
	nodes, err := i.nodes(ctx)
	if err != nil {
		return all, err
	}
	all.Nodes = len(nodes)
	for _, node := range nodes {
		text, err := redisconn.Retry(ctx, i.conn, func(ctx context.Context) (string, error) { return node.Info(ctx).Result() })
		if err != nil {
			return all, err
		}
		add(&all, redisconn.ParseInfo(text), i.conn.Awaited(node.addr))
	}
	return all, nil
}

// Names of alerts, as in docs/operations.md.
const (
	alertRefuses = "GotapiRedisRefuses"
	alertLost    = "GotapiMessagesLost"
)

// memoryShare of its limit is what Redis may use without an alarm.
const memoryShare = 0.9

// add adds what one node says about itself (INFO). Acks wait for awaited replicas of it.
func add(all *history.Condition, info map[string]string, awaited int) {
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(info[name], 10, 64)
		return n
	}
	used, limit, replicas := number("used_memory"), number("maxmemory"), number("connected_slaves")
	all.UsedBytes += used
	all.MaxBytes += limit
	all.EvictedKeys += number("evicted_keys")
	all.Clients += number("connected_clients")
	all.Replicas += replicas
	all.EvictionPolicy = info["maxmemory_policy"]
	product := redisconn.ProductOf(info)
	all.Kind, all.Version = product.Name, product.Version
	if up := time.Duration(number("uptime_in_seconds")) * time.Second; all.Uptime == 0 || up < all.Uptime {
		all.Uptime = up
	}
	alarm := func(name, format string, args ...any) {
		all.Alarms = append(all.Alarms, history.Alarm{Name: name, Text: fmt.Sprintf(format, args...)})
	}
	if limit > 0 && float64(used) > memoryShare*float64(limit) {
		alarm(alertRefuses, "redis uses %d of %d bytes, and refuses publications when it is full: raise maxmemory, or find large groups with gotapi groups --sort bytes", used, limit)
	}
	if policy := all.EvictionPolicy; policy != "" && policy != "noeviction" {
		alarm(alertLost, "redis may evict histories, and has evicted %d keys: set maxmemory-policy to noeviction, not %s", all.EvictedKeys, policy)
	}
	for _, field := range []string{"rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"} {
		if status := info[field]; status != "" && status != "ok" {
			alarm(alertRefuses, "%s is %s, and redis may refuse writes (MISCONF): free space on its disk", field, status)
		}
	}
	if info["role"] == "slave" {
		alarm(alertRefuses, "-redis points to a replica, which refuses writes: point it to the master")
	} else if replicas < int64(awaited) {
		alarm(alertRefuses, "redis has %d of the %d replicas that acks wait for, and acks no message: start them, or lower -ack-replicas", replicas, awaited)
	}
}
