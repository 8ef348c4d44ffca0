package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/e2e/internal/faultproxy"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// kind is a kind of fault.
type kind struct {
	name string
	// On which stores; "": on all.
	store string
	// It is about history services that are programs of their own.
	apart bool
	// Acks must have waited for the disk.
	fsync bool
	// How long it lasts.
	min, max time.Duration
	// Redis must be whole before: a second blow would leave nothing to fail over to.
	whole bool
	// begin injects it, with a number that chooses its target, and returns what
	// was hit, what undoes it, and the masters that may lose something.
	begin func(ctx context.Context, b *bed, target int) (hit string, end func(), losers []*node, err error)
}

const slowBy = 40 * time.Millisecond

// kinds are all faults there are.
func kinds() []kind {
	const ms = time.Millisecond
	all := []kind{
		{name: "kill historysvc", apart: true, min: 200 * ms, max: 3000 * ms, begin: unitFault(services, (*unit).fell, (*unit).raise)},
		{name: "restart historysvc", apart: true, min: 100 * ms, max: 1500 * ms, begin: unitFault(services, (*unit).bow, (*unit).raise)},
		{name: "roll historysvc", apart: true, min: 6000 * ms, max: 9000 * ms, begin: rollServices},
		{name: "stop historysvc", apart: true, min: 500 * ms, max: 6000 * ms, begin: unitFault(services, pause, resume)},
		{name: "kill edge", min: 200 * ms, max: 3000 * ms, begin: unitFault(edges, (*unit).fell, (*unit).raise)},
		{name: "restart edge", min: 1200 * ms, max: 2500 * ms, begin: unitFault(edges, (*unit).bow, (*unit).raise)},
		{name: "stop edge", min: 500 * ms, max: 4000 * ms, begin: unitFault(edges, pause, resume)},
		{name: "kill pub/sub", min: 0, max: 0, begin: killSubscribers},
		{name: "kill redis", store: single, min: 200 * ms, max: 3000 * ms, begin: masterFault((*node).fell, (*node).raise, false)},
		{name: "stop redis", store: single, min: 500 * ms, max: 5000 * ms, begin: masterFault(pauseNode, resumeNode, false)},
		{name: "machine of redis fails", store: single, fsync: true, min: 200 * ms, max: 3000 * ms, begin: failMachine},
		{name: "machine of a master fails", store: cluster, fsync: true, min: 300 * ms, max: 9000 * ms, whole: true, begin: failMachine},
		{name: "machine of a master fails", store: sentinel, fsync: true, min: 300 * ms, max: 9000 * ms, whole: true, begin: failMachine},
		{name: "kill redis master", store: cluster, min: 300 * ms, max: 9000 * ms, whole: true, begin: masterFault((*node).fell, (*node).raise, true)},
		{name: "stop redis master", store: cluster, min: 500 * ms, max: 6000 * ms, whole: true, begin: masterFault(pauseNode, resumeNode, true)},
		{name: "kill redis master", store: sentinel, min: 300 * ms, max: 9000 * ms, whole: true, begin: masterFault((*node).fell, (*node).raise, true)},
		{name: "stop redis master", store: sentinel, min: 500 * ms, max: 6000 * ms, whole: true, begin: masterFault(pauseNode, resumeNode, true)},
		{name: "kill lagging master", store: cluster, min: 4000 * ms, max: 9000 * ms, whole: true, begin: killLagging},
		{name: "kill lagging master", store: sentinel, min: 4000 * ms, max: 9000 * ms, whole: true, begin: killLagging},
		{name: "full memory", min: 500 * ms, max: 3000 * ms, begin: fillMemory},
		{name: "isolate master", store: cluster, min: 3000 * ms, max: 9000 * ms, whole: true, begin: isolateMaster},
		{name: "isolate master", store: sentinel, min: 3000 * ms, max: 9000 * ms, whole: true, begin: isolateMaster},
		{name: "kill redis replica", store: cluster, min: 300 * ms, max: 4000 * ms, whole: true, begin: killReplica},
		{name: "kill redis replica", store: sentinel, min: 300 * ms, max: 4000 * ms, whole: true, begin: killReplica},
		{name: "cluster failover", store: cluster, min: 1000 * ms, max: 1000 * ms, whole: true, begin: clusterFailover},
		{name: "sentinel failover", store: sentinel, min: 1000 * ms, max: 1000 * ms, whole: true, begin: sentinelFailover},
		{name: "stop sentinel", store: sentinel, min: 500 * ms, max: 4000 * ms, begin: stopSentinel},
	}
	for _, l := range []struct {
		name  string
		apart bool
		whole bool
		links func(b *bed, target int) []*faultproxy.Proxy
	}{
		{"members-edge", false, false, func(b *bed, target int) []*faultproxy.Proxy { return b.doors[target%len(b.doors):][:1] }},
		{"edge-historysvc", true, false, func(b *bed, target int) []*faultproxy.Proxy { return b.relays[target%len(b.relays)] }},
		{"historysvc-redis", false, true, redisLinks},
	} {
		all = append(all,
			kind{name: "cut " + l.name, apart: l.apart, min: 100 * ms, max: 2500 * ms, whole: l.whole, begin: linkFault(l.links, (*faultproxy.Proxy).Cut)},
			kind{name: "hold " + l.name, apart: l.apart, min: 300 * ms, max: 5000 * ms, whole: l.whole, begin: linkFault(l.links, (*faultproxy.Proxy).Hold)},
			kind{name: "slow " + l.name, apart: l.apart, min: 1000 * ms, max: 4000 * ms, whole: l.whole, begin: linkFault(l.links, func(p *faultproxy.Proxy) { p.Slow(slowBy) })},
		)
	}
	return all
}

// redisLinks are the links to one node, or to all of them.
func redisLinks(b *bed, target int) []*faultproxy.Proxy {
	var all []*faultproxy.Proxy
	for _, n := range b.redis.nodes {
		all = append(all, n.link)
	}
	if n := target % (len(all) + 1); n < len(all) {
		return all[n : n+1]
	}
	return all
}

func services(b *bed) []*unit { return b.services }
func edges(b *bed) []*unit    { return b.edges }
func pause(u *unit)           { u.Pause() }
func resume(u *unit)          { u.Resume() }
func pauseNode(n *node)       { n.Pause() }
func resumeNode(n *node)      { n.Resume() }

type beginFunc = func(ctx context.Context, b *bed, target int) (string, func(), []*node, error)

func unitFault(of func(b *bed) []*unit, begin, end func(u *unit)) beginFunc {
	return func(_ context.Context, b *bed, target int) (string, func(), []*node, error) {
		all := of(b)
		u := all[target%len(all)]
		begin(u)
		return u.Name(), func() { end(u) }, nil, nil
	}
}

func linkFault(links func(b *bed, target int) []*faultproxy.Proxy, begin func(p *faultproxy.Proxy)) beginFunc {
	return func(_ context.Context, b *bed, target int) (string, func(), []*node, error) {
		hit := links(b, target)
		for _, p := range hit {
			begin(p)
		}
		return fmt.Sprintf("%d links", len(hit)), func() {
			for _, p := range hit {
				p.Heal()
			}
		}, nil, nil
	}
}

// masterFault hits a master, which may lose what its replicas have not got if
// there are some to take its place.
func masterFault(begin, end func(n *node), loses bool) beginFunc {
	return func(ctx context.Context, b *bed, target int) (string, func(), []*node, error) {
		masters := b.redis.those(ctx, true)
		if len(masters) == 0 {
			return "", nil, nil, errNoTarget
		}
		n := masters[target%len(masters)]
		var losers []*node
		if loses {
			losers = []*node{n}
		}
		begin(n)
		return n.Name(), func() { end(n) }, losers, nil
	}
}

var errNoTarget = errors.New("nothing there to hit")

// lag is how much a master's replicas lack when it is killed.
const lag = 400 * time.Millisecond

// killLagging kills a master whose replicas have not got its last writes: what
// it had acked is lost. Replicas that log in with a password, where there is none,
// are not served.
func killLagging(ctx context.Context, b *bed, target int) (string, func(), []*node, error) {
	masters := b.redis.those(ctx, true)
	if len(masters) == 0 {
		return "", nil, nil, errNoTarget
	}
	n := masters[target%len(masters)]
	replicas := b.redis.those(ctx, false)
	for _, r := range replicas {
		_ = r.direct.ConfigSet(ctx, "masterauth", "x").Err() // it may be down
	}
	_ = n.direct.ClientKillByFilter(ctx, "TYPE", "replica").Err()
	sleep(ctx, lag)
	n.fell()
	for _, r := range replicas {
		_ = r.direct.ConfigSet(ctx, "masterauth", "").Err()
	}
	return n.Name(), n.raise, []*node{n}, nil
}

// unsynced is for how long a machine keeps what is written from its disk before it fails.
const unsynced = 400 * time.Millisecond

// failMachine lets the machine of a master fail: what was written and not fsynced is
// gone. It forbids fsyncs, and later kills the server and cuts its file somewhere behind
// what the file was then. Each fsync that was confirmed came before.
func failMachine(ctx context.Context, b *bed, target int) (string, func(), []*node, error) {
	masters := b.redis.those(ctx, true)
	if len(masters) == 0 {
		return "", nil, nil, errNoTarget
	}
	n := masters[target%len(masters)]
	if err := n.direct.ConfigSet(ctx, "appendfsync", "no").Err(); err != nil {
		return "", nil, nil, err
	}
	path, synced, err := n.appendOnlyFile(ctx)
	if err != nil { // nothing will restart it, with fsyncs
		again := n.direct.ConfigSet(context.WithoutCancel(ctx), "appendfsync", "always").Err()
		return "", nil, nil, errors.Join(err, again)
	}
	sleep(ctx, unsynced)
	n.fell()
	lost, err := cutTail(path, synced, target)
	if err != nil {
		n.raise()
		return "", nil, nil, err
	}
	var losers []*node
	if b.redis.kind != single { // a replica may take its place
		losers = []*node{n}
	}
	return fmt.Sprintf("%s, %d bytes", n.Name(), lost), n.raise, losers, nil
}

// cutTail removes some of a file behind its first kept bytes, and returns how much.
func cutTail(path string, kept int64, choice int) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	tail := info.Size() - kept
	if tail < 0 {
		return 0, fmt.Errorf("%s has shrunk", path)
	}
	lost := tail - int64(choice)%(tail+1)
	return lost, os.Truncate(path, info.Size()-lost)
}

// fillMemory lets masters have less memory than they use: they refuse what would
// need more, and lose nothing.
func fillMemory(ctx context.Context, b *bed, target int) (string, func(), []*node, error) {
	masters := b.redis.those(ctx, true)
	if len(masters) == 0 {
		return "", nil, nil, errNoTarget
	}
	if n := target % (len(masters) + 1); n < len(masters) {
		masters = masters[n : n+1]
	}
	for _, n := range masters {
		if err := n.direct.ConfigSet(ctx, "maxmemory", "1").Err(); err != nil {
			return "", nil, nil, err
		}
	}
	return fmt.Sprintf("%d masters", len(masters)), func() {
		for _, n := range masters {
			n.roomy(context.WithoutCancel(ctx))
		}
	}, nil, nil
}

// isolateMaster cuts a master off from its replicas, the other masters and the
// Sentinels, while its clients still reach it: what it acks until it notices, or is
// replaced and its clients notice, is lost.
func isolateMaster(ctx context.Context, b *bed, target int) (string, func(), []*node, error) {
	masters := b.redis.those(ctx, true)
	if len(masters) == 0 {
		return "", nil, nil, errNoTarget
	}
	n := masters[target%len(masters)]
	b.redis.isolate(n)
	return n.Name(), func() {
		for _, o := range b.redis.nodes {
			o.rejoin()
		}
	}, []*node{n}, nil
}

func killReplica(ctx context.Context, b *bed, target int) (string, func(), []*node, error) {
	replicas := b.redis.those(ctx, false)
	if len(replicas) == 0 {
		return "", nil, nil, errNoTarget
	}
	n := replicas[target%len(replicas)]
	n.fell()
	return n.Name(), n.raise, nil, nil
}

// rollServices restarts all history services in turn, as an update does. Afterwards all
// edges are at the one that was restarted first, and move.
func rollServices(ctx context.Context, b *bed, _ int) (string, func(), []*node, error) {
	for _, u := range b.services {
		u.bow()
		select {
		case <-u.Done():
		case <-ctx.Done():
		}
		u.raise()
		sleep(ctx, time.Second) // until it is ready
	}
	return "all of them", func() {}, nil, nil
}

// killSubscribers drops what listens to Redis, as Redis does with subscribers
// that are too slow for it.
func killSubscribers(ctx context.Context, b *bed, _ int) (string, func(), []*node, error) {
	for _, n := range b.redis.nodes {
		_ = n.direct.ClientKillByFilter(ctx, "TYPE", "pubsub").Err() // the node may be down
	}
	return "all of them", func() {}, nil, nil
}

// clusterFailover lets a replica take over in good order: nothing is lost.
func clusterFailover(ctx context.Context, b *bed, target int) (string, func(), []*node, error) {
	replicas := b.redis.those(ctx, false)
	if len(replicas) == 0 {
		return "", nil, nil, errNoTarget
	}
	n := replicas[target%len(replicas)]
	b.redis.expect(n)
	err := n.direct.ClusterFailover(ctx).Err()
	return n.Name(), func() {}, nil, err
}

// sentinelFailover replaces the master although it is well. Sentinel does not
// wait for the replica: what it had not got is lost.
func sentinelFailover(ctx context.Context, b *bed, target int) (string, func(), []*node, error) {
	masters := b.redis.those(ctx, true)
	s := pickSentinel(b, target)
	defer func() { _ = s.Close() }()
	err := s.Failover(ctx, testbed.MasterName).Err()
	return "the master", func() {}, masters, err
}

func stopSentinel(_ context.Context, b *bed, target int) (string, func(), []*node, error) {
	s := b.redis.sentinels[target%len(b.redis.sentinels)]
	s.Pause()
	return s.Name(), s.Resume, nil, nil
}

func pickSentinel(b *bed, target int) *redis.SentinelClient {
	s := b.redis.sentinels[target%len(b.redis.sentinels)]
	return redis.NewSentinelClient(&redis.Options{Addr: s.Addr, MaxRetries: -1})
}
