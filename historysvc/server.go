package historysvc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/historysvc/internal/adminapi"
	"github.com/gotapi/gotapi-ws/historysvc/internal/audit"
	"github.com/gotapi/gotapi-ws/historysvc/internal/auth"
	"github.com/gotapi/gotapi-ws/historysvc/internal/historyapi"
	"github.com/gotapi/gotapi-ws/historysvc/internal/relayserver"
	"github.com/gotapi/gotapi-ws/internal/metric"
	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

const (
	// Largest request: a batch of 4 MiB. And largest response: a page of history has up to
	// 8 MiB of texts, and its last text.
	maxRequestBytes  = 4<<20 + 256<<10
	maxResponseBytes = 16 << 20
	// Flow control windows of HTTP/2, of a stream and of a connection, bytes.
	// Setting them turns off gRPC's search for better ones, which pings with every
	// few messages and at low rates cost more than the messages.
	streamWindow     = 4 << 20
	connectionWindow = 8 << 20
	// Requests and streams of one connection at once.
	maxStreams = 4096
	// Goroutines that are kept for calls. A new goroutine has to grow its stack,
	// which was a tenth of the CPU of short calls. More are started as needed.
	streamWorkers = 32
	// Longest time of a unary call, with that for its request to come.
	maxCallTime = 30 * time.Second

	// Interval and timeout of pings of Redis.
	pingEvery   = time.Second
	pingTimeout = time.Second
)

// Edges ping every 10 s, even without a stream.
var (
	keepalivePolicy = keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}
	keepaliveParams = keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}
)

// server is the gRPC side of the service.
type server struct {
	grpc      *grpc.Server
	health    *health.Server
	history   *historyapi.Service
	relay     *relayserver.Server
	listeners []net.Listener
	drain     time.Duration
	log       *slog.Logger
	calls     *prometheus.HistogramVec
	redisUp   prometheus.Gauge
}

func newServer(h *historyapi.Service, a *adminapi.Service, r *relayserver.Server, callers *auth.Authenticator, auditLog *audit.Log, listeners []net.Listener, options []grpc.ServerOption, drain time.Duration, log *slog.Logger, reg prometheus.Registerer) *server {
	in := metric.In(reg)
	s := &server{
		health: health.NewServer(), history: h, relay: r, listeners: listeners, drain: drain, log: log,
		calls: in.Histograms("gotapi_history_call_seconds", "Duration of unary gRPC calls, by method and status code.",
			prometheus.ExponentialBuckets(0.0005, 4, 8), "method", "code"),
		redisUp: in.Gauge("gotapi_history_redis_up", "1 while Redis answers pings, which are sent every second."),
	}
	unary := newMethods(callers.Stream, chain(s.observe, auditLog.Unary), s.hangUp)
	s.grpc = grpc.NewServer(append(options,
		grpc.NumStreamWorkers(streamWorkers),
		grpc.ForceServerCodecV2(newAnswerCodec()),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxSendMsgSize(maxResponseBytes),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveEnforcementPolicy(keepalivePolicy),
		grpc.KeepaliveParams(keepaliveParams),
		grpc.InTapHandle(unary.limitTime),
		grpc.StreamInterceptor(callers.Stream),
		grpc.WaitForHandlers(true), // they use what is closed next
	)...)
	s.grpc.RegisterService(unary.of(&historyv1.HistoryService_ServiceDesc), h)
	s.grpc.RegisterService(unary.of(&adminv1.AdminService_ServiceDesc), a)
	s.grpc.RegisterService(unary.of(&relayv1.RelayService_ServiceDesc), r)
	s.grpc.RegisterService(unary.of(&healthv1.Health_ServiceDesc), s.health)
	reflection.Register(s.grpc)
	s.setServing(healthv1.HealthCheckResponse_SERVING) // the store was just opened
	return s
}

// hangUp closes the connection of a caller, unless it does not leave this process.
func (s *server) hangUp(caller net.Addr) {
	s.log.Warn("connection closed: peer did not read an answer in time", "peer", caller.String())
	for _, ln := range s.listeners {
		if bounded, ok := ln.(*boundedListener); ok {
			bounded.hangUp(caller)
		}
	}
}

// observe measures a unary call.
func (s *server) observe(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	began := time.Now()
	resp, err := handler(ctx, req)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		// The caller has hung up: whatever came of it is not the service's failure.
		err = status.FromContextError(ctx.Err()).Err()
	}
	s.calls.WithLabelValues(path.Base(info.FullMethod), status.Code(err).String()).Observe(time.Since(began).Seconds())
	return resp, err
}

// serve serves all listeners until ctx ends, and closes them.
func (s *server) serve(ctx context.Context) error {
	served := make(chan error, len(s.listeners))
	for _, ln := range s.listeners {
		go func() { served <- s.grpc.Serve(ln) }()
	}
	ended := 0
	var err error
	select {
	case err = <-served:
		ended++
	case <-ctx.Done():
	}
	s.stop()
	for ; ended < len(s.listeners); ended++ {
		err = errors.Join(err, <-served)
	}
	s.relay.Wait()
	return err
}

// stop ends all streams and lets calls under way finish, within the drain time.
func (s *server) stop() {
	s.health.Shutdown()
	s.history.Drain()
	s.relay.Drain()
	cut := time.AfterFunc(s.drain, func() {
		s.log.Warn("canceling unfinished calls", "after", s.drain)
		s.grpc.Stop()
	})
	defer cut.Stop()
	s.grpc.GracefulStop()
}

// watchStore keeps the health service up to date about Redis.
func (s *server) watchStore(ctx context.Context, ping func(context.Context) error) error {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	well := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		attempt, cancel := context.WithTimeout(ctx, pingTimeout)
		err := ping(attempt)
		cancel()
		if ctx.Err() != nil || well == (err == nil) {
			continue
		}
		well = err == nil
		if well {
			s.log.InfoContext(ctx, "redis answers again")
			s.setServing(healthv1.HealthCheckResponse_SERVING)
		} else {
			s.log.WarnContext(ctx, "redis does not answer", "error", err)
			s.setServing(healthv1.HealthCheckResponse_NOT_SERVING)
		}
	}
}

func (s *server) setServing(status healthv1.HealthCheckResponse_ServingStatus) {
	up := 0.0
	if status == healthv1.HealthCheckResponse_SERVING {
		up = 1
	}
	s.redisUp.Set(up)
	for _, service := range []string{
		"", historyv1.HistoryService_ServiceDesc.ServiceName, relayv1.RelayService_ServiceDesc.ServiceName,
	} {
		s.health.SetServingStatus(service, status)
	}
}
