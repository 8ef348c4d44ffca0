package historyconn

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // lets connections watch the health service
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// maxResponse is the largest response of a history service, bytes: a page of 8 MiB
// of texts, and what surrounds them.
const maxResponse = 32 << 20

// Flow control windows of HTTP/2, of a stream and of a connection, bytes: what a
// history service may send before the edge has read it. Setting them turns off gRPC's
// search for better ones, whose pings cost more than the messages at low rates.
const (
	streamWindow     = 4 << 20
	connectionWindow = 8 << 20
)

// connectBackoff spaces out the attempts to connect to one history service. Its
// maximum is low: the services are few and near.
var connectBackoff = backoff.Config{
	BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second,
}

// serviceConfig spreads calls over the history services that report to be healthy and
// that answer. A unary call that finds a service gone or without its Redis is made
// again at once, on another one: every call of an edge may be done twice. Throttling
// stops that while most calls fail.
const serviceConfig = `{
	"loadBalancingConfig": [{"` + balancerName + `": {}}],
	"healthCheckConfig": {"serviceName": ""},
	"methodConfig": [{
		"name": [
			{"service": "gotapi.relay.v1.RelayService", "method": "Read"},
			{"service": "gotapi.relay.v1.RelayService", "method": "Recall"},
			{"service": "gotapi.history.v1.HistoryService"}
		],
		"retryPolicy": {
			"maxAttempts": 3,
			"initialBackoff": "0.02s", "maxBackoff": "0.2s", "backoffMultiplier": 2,
			"retryableStatusCodes": ["UNAVAILABLE"]
		}
	}],
	"retryThrottling": {"maxTokens": 50, "tokenRatio": 0.1}
}`

// Dial prepares a connection to the history services; it does not wait for it.
// target is one "host:port" (all addresses of the host are used), several with
// commas between them, or any gRPC target such as "dns:///historysvc:5998".
// opts come last and may replace what Dial sets.
func Dial(target string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	if err := CheckTarget(target); err != nil {
		return nil, err
	}
	all := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse)),
		grpc.WithChainUnaryInterceptor(retryUnary),
		grpc.WithChainStreamInterceptor(cancelStream),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connectionWindow),
		// A dead peer is found after 13 s at the latest: the heartbeat cancels nothing
		// of the only service there is. A dead connection is retried within 3 s.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           connectBackoff,
			MinConnectTimeout: 3 * time.Second,
		}),
	}
	if addresses := strings.Split(target, ","); len(addresses) > 1 {
		list := manual.NewBuilderWithScheme("list")
		list.InitialState(resolver.State{Addresses: resolved(addresses)})
		all = append(all, grpc.WithResolvers(list))
		target = "list:///history"
	}
	conn, err := grpc.NewClient(target, append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to the history service: %w", err)
	}
	return conn, nil
}

func resolved(addresses []string) []resolver.Address {
	all := make([]resolver.Address, len(addresses))
	for i, a := range addresses {
		all[i].Addr = strings.TrimSpace(a)
	}
	return all
}

// CheckTarget returns an error if Dial does not understand target.
func CheckTarget(target string) error {
	if target == "" {
		return errors.New("no address of a history service")
	}
	if scheme, _, ok := strings.Cut(target, ":///"); ok {
		// gRPC itself would take an unknown scheme for the name of a host.
		if resolver.Get(scheme) == nil {
			return fmt.Errorf("%q: gRPC has no resolver for the scheme %q", target, scheme)
		}
		return nil
	}
	for a := range strings.SplitSeq(target, ",") {
		if err := checkAddress(strings.TrimSpace(a)); err != nil {
			return err
		}
	}
	return nil
}

func checkAddress(a string) error {
	host, port, err := net.SplitHostPort(a)
	if err != nil || host == "" {
		return fmt.Errorf("%q is not host:port", a)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q: the port is not a number from 1 to 65535", a)
	}
	return nil
}
