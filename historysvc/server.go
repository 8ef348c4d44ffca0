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

	"github.com/gotapi/gotapi-ws/historysvc/internal/audit"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

const (
	// A page of history has up to 8 MiB of texts, and its last text.
	maxMessageBytes = 16 << 20
	// Flow control windows of HTTP/2, of a stream and of a connection, bytes. That
	// they are given turns gRPC's search for better ones off: it pings with every
	// few messages, which at low rates cost more than the messages.
	streamWindow     = 4 << 20
	connectionWindow = 8 << 20
	// Requests and streams of one connection at once.
	maxStreams = 4096
	// Goroutines that stay for calls: a new one would grow its stack anew each time,
	// which was a tenth of the CPU of short calls. Further ones are made as needed.
	streamWorkers = 32
	// A call whose caller sets no deadline has this one.
	maxCallTime = 30 * time.Second

	// Redis is asked for a sign of life this often, and may take this long.
	pingEvery   = time.Second
	pingTimeout = time.Second
)

// Edges ping every 10 s, also while they have no stream.
var (
	keepalivePolicy = keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}
	keepaliveParams = keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}
)

// server is the gRPC side of the service.
type server struct {
	grpc      *grpc.Server
	health    *health.Server
	history   *rpc.History
	relay     *rpc.Relay
	listeners []net.Listener
	drain     time.Duration
	log       *slog.Logger
	calls     *prometheus.HistogramVec
	redisUp   prometheus.Gauge
}

func newServer(h *rpc.History, r *rpc.Relay, door *rpc.Door, auditLog *audit.Log, listeners []net.Listener, options []grpc.ServerOption, drain time.Duration, log *slog.Logger, reg prometheus.Registerer) *server {
	s := &server{
		health: health.NewServer(), history: h, relay: r, listeners: listeners, drain: drain, log: log,
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "gotapi_history_call_seconds",
			Help:    "Duration of unary gRPC calls, by method and status code.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
		}, []string{"method", "code"}),
	}
	s.redisUp = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gotapi_history_redis_up",
		Help: "1 while Redis answers the ping of each second.",
	})
	reg.MustRegister(s.calls, s.redisUp)
	s.grpc = grpc.NewServer(append(options,
		grpc.NumStreamWorkers(streamWorkers),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveEnforcementPolicy(keepalivePolicy),
		grpc.KeepaliveParams(keepaliveParams),
		grpc.ChainUnaryInterceptor(s.call, door.Unary, auditLog.Unary),
		grpc.StreamInterceptor(door.Stream),
		grpc.WaitForHandlers(true), // they use what is given up next
	)...)
	historyv1.RegisterHistoryServiceServer(s.grpc, h)
	relayv1.RegisterRelayServiceServer(s.grpc, r)
	healthv1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.setServing(healthv1.HealthCheckResponse_SERVING) // Redis has answered just now
	return s
}

// call bounds and measures a unary call.
func (s *server) call(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, maxCallTime)
	defer cancel()
	began := time.Now()
	resp, err := handler(ctx, req)
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
		s.log.Warn("calls under way are cut off", "after", s.drain)
		s.grpc.Stop()
	})
	defer cut.Stop()
	s.grpc.GracefulStop()
}

// watchStore makes the health service tell whether Redis answers.
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
