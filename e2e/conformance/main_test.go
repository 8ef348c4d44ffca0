package conformance

import (
	"cmp"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// target is the system under test.
var target struct {
	// edges are HTTP addresses, at least one.
	edges []string
	// grpc is the address of a history service; "" if not given.
	grpc string
	// redis is the store behind it; nil if not given.
	redis redis.UniversalClient
	// secret opens the admin endpoints; "" if not given.
	secret string
	// cap is how many messages a group keeps; 0 if not known.
	cap int
	// limit is the size of the largest message, in bytes.
	limit int
}

var (
	addrFlag   = flag.String("addr", os.Getenv("CONFORMANCE_ADDR"), "HTTP `addresses` of the edges under test, comma-separated; none: start a system")
	systemFlag = flag.String("system", "", "what to start when there is no -addr: `one of` embedded (the default), redis, cluster, replicas")
	grpcFlag   = flag.String("grpc", os.Getenv("CONFORMANCE_GRPC"), "`address` of a history service")
	redisFlag  = flag.String("redis", os.Getenv("CONFORMANCE_REDIS"), "`addresses` of the Redis behind it, comma-separated for a Cluster")
	secretFlag = flag.String("secret", os.Getenv("CONFORMANCE_SECRET"), "admin secret")
	capFlag    = flag.Int("cap", 10000, "messages that a group keeps; 0: not known")
	limitFlag  = flag.Int("limit", 32<<10, "bytes of the largest message")
)

func TestMain(m *testing.M) {
	flag.Parse()
	testbed.Main(m, aim)
}

// systems are what the tests can start.
var systems = map[string]testbed.Config{
	"embedded": {Store: testbed.Embedded},
	"redis":    {Store: testbed.Single},
	"cluster":  {Store: testbed.Cluster},
	"replicas": {Store: testbed.Single, Edges: 2, Services: 2},
}

// aim sets the target.
func aim(tb testbed.TB) {
	target.cap, target.limit = *capFlag, *limitFlag
	if *addrFlag == "" {
		start(tb, cmp.Or(*systemFlag, "embedded"))
		return
	}
	target.edges, target.grpc, target.secret = strings.Split(*addrFlag, ","), *grpcFlag, *secretFlag
	if *redisFlag == "" {
		return
	}
	target.redis = redis.NewUniversalClient(&redis.UniversalOptions{Addrs: strings.Split(*redisFlag, ",")})
	tb.Cleanup(func() { _ = target.redis.Close() })
	if err := target.redis.Ping(context.Background()).Err(); err != nil {
		tb.Fatalf("redis: %v", err)
	}
}

// start starts a system and makes it the target.
func start(tb testbed.TB, name string) {
	cfg, ok := systems[name]
	if !ok {
		tb.Fatalf("-system %q is unknown", name)
	}
	s := testbed.Start(tb, cfg)
	target.edges, target.grpc, target.secret = s.Addrs(), s.Services[0].GRPC, testbed.AdminSecret
	if s.Redis != nil {
		target.redis = s.Redis.Client
	}
}

// TestOnEverySystem runs all the other tests on the systems that plain
// `go test` does not start. What takes long is
// left out there: once is enough.
func TestOnEverySystem(t *testing.T) {
	if *addrFlag != "" || *systemFlag != "" || testing.Short() {
		t.Skip("one system is enough")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"redis", "cluster", "replicas"} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), self, "-system", name, "-test.short", "-test.timeout", "5m")
			cmd.Env = append(os.Environ(), testbed.BinEnv+"="+filepath.Dir(testbed.Binary(t, "edge")))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// edge returns the address of edge number i, counted around.
func edge(i int) string { return target.edges[i%len(target.edges)] }

// here and there are two edges where there are two.
func here() string  { return edge(0) }
func there() string { return edge(1) }

// join connects n members to a group, spread over the edges.
func join(t *testing.T, group string, n int) []*client.Member {
	t.Helper()
	members := make([]*client.Member, n)
	for i := range members {
		members[i] = client.Join(t, edge(i), client.EscapePath(group))
	}
	return members
}

// service returns a client of the history service.
func service(t *testing.T) historyv1.HistoryServiceClient {
	t.Helper()
	if target.grpc == "" {
		t.Skip("no -grpc given")
	}
	conn, err := grpc.NewClient(target.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return historyv1.NewHistoryServiceClient(conn)
}

func needRedis(t *testing.T) redis.UniversalClient {
	t.Helper()
	if target.redis == nil {
		t.Skip("no -redis given")
	}
	return target.redis
}

func needSecret(t *testing.T) string {
	t.Helper()
	if target.secret == "" {
		t.Skip("no -secret given")
	}
	return target.secret
}
