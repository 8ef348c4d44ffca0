package tlsfiles_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/services/telemetry/telemetrytest"
	"github.com/gotapi/gotapi-ws/services/tlsfiles"
	"github.com/gotapi/gotapi-ws/services/tlsfiles/tlstest"
)

// rig is a gRPC server whose files are in dir.
type rig struct {
	dir       string
	authority *tlstest.Authority
	paths     tlsfiles.Paths
	files     *tlsfiles.Files
	reg       *prometheus.Registry
	addr      string
}

// newRig serves with a certificate of a new authority; clients need one of it, too,
// if mutual.
func newRig(t *testing.T, mutual bool) *rig {
	t.Helper()
	r := &rig{dir: t.TempDir(), authority: tlstest.NewAuthority(t), reg: prometheus.NewRegistry()}
	r.paths.Cert, r.paths.Key = r.authority.Server(t).Write(t, r.dir, "server")
	if mutual {
		r.paths.CA = r.authority.Write(t, r.dir, "clients")
	}
	var err error
	if r.files, err = tlsfiles.Open(r.paths, "test", slog.New(slog.DiscardHandler), r.reg); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.Creds(r.files.ServerCredentials()))
	healthv1.RegisterHealthServer(srv, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	r.addr = ln.Addr().String()
	return r
}

// call asks the server over a new connection.
func (r *rig) call(t *testing.T, creds credentials.TransportCredentials) error {
	t.Helper()
	conn, err := grpc.NewClient(r.addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	return err
}

// client opens files of a client that trusts the rig's authority; pair may be nil.
func (r *rig) client(t *testing.T, pair *tlstest.Pair) *tlsfiles.Files {
	t.Helper()
	dir := t.TempDir()
	paths := tlsfiles.Paths{CA: r.authority.Write(t, dir, "servers")}
	if pair != nil {
		paths.Cert, paths.Key = pair.Write(t, dir, "client")
	}
	f, err := tlsfiles.Open(paths, "test", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestServerThatDemandsCertificatesRefusesStrangers(t *testing.T) {
	r := newRig(t, true)
	good := r.authority.Client(t, time.Now().Add(time.Hour))
	expired := r.authority.Client(t, time.Now().Add(-time.Minute))
	stranger := tlstest.NewAuthority(t).Client(t, time.Now().Add(time.Hour))
	server := r.authority.Server(t)
	for name, tt := range map[string]struct {
		pair *tlstest.Pair
		want codes.Code
	}{
		"a good certificate":                 {&good, codes.OK},
		"no certificate":                     {nil, codes.Unavailable},
		"an expired certificate":             {&expired, codes.Unavailable},
		"another authority's certificate":    {&stranger, codes.Unavailable},
		"a certificate that is for a server": {&server, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			err := r.call(t, r.client(t, tt.pair).ClientCredentials(""))
			if got := status.Code(err); got != tt.want {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	if err := r.call(t, insecure.NewCredentials()); status.Code(err) != codes.Unavailable {
		t.Errorf("without TLS: got %v, want Unavailable", err)
	}
}

func TestClientRefusesStrangers(t *testing.T) {
	r := newRig(t, false)
	if err := r.call(t, r.client(t, nil).ClientCredentials("")); err != nil {
		t.Errorf("the right server: %v", err)
	}
	if err := r.call(t, r.client(t, nil).ClientCredentials("example.com")); status.Code(err) != codes.Unavailable {
		t.Errorf("another name: got %v, want Unavailable", err)
	}
	other := &rig{authority: tlstest.NewAuthority(t)}
	if err := r.call(t, other.client(t, nil).ClientCredentials("")); status.Code(err) != codes.Unavailable {
		t.Errorf("another authority: got %v, want Unavailable", err)
	}
}

func TestRefusalIsReportedOnBothSides(t *testing.T) {
	r := newRig(t, true)
	var lines telemetrytest.Log
	reg := prometheus.NewRegistry()
	client, err := tlsfiles.Open(tlsfiles.Paths{CA: r.paths.CA}, "client", slog.New(slog.NewTextHandler(&lines, nil)), reg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.call(t, client.ClientCredentials("")); err == nil {
		t.Fatal("the call succeeded")
	}
	for side, reg := range map[string]*prometheus.Registry{"server": r.reg, "client": reg} {
		deadline := time.Now().Add(10 * time.Second)
		for counter(t, reg, "gotapi_tls_handshake_failures_total") == 0 {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no failed handshake was counted", side)
			}
			time.Sleep(time.Millisecond)
		}
	}
	// The alert says "certificate required", unless a reset of the connection overtakes it.
	if !strings.Contains(lines.String(), "tls handshake failed") {
		t.Errorf("the client's log does not tell: %s", lines.String())
	}
}

func counter(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestProcessCanAskItselfWithAnyServerCertificate(t *testing.T) {
	for _, mutual := range []bool{false, true} {
		r := newRig(t, mutual)
		own, err := tlsfiles.Itself(r.paths)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.call(t, credentials.NewTLS(own)); err != nil {
			t.Errorf("mutual %v: %v", mutual, err)
		}
	}
}

func TestReplacedFilesAreUsedForNewConnections(t *testing.T) {
	r := newRig(t, true)
	next := tlstest.NewAuthority(t)
	next.Server(t).Write(t, r.dir, "server")
	next.Write(t, r.dir, "clients")
	if err := r.files.Reload(); err != nil {
		t.Fatal(err)
	}
	old := r.authority.Client(t, time.Now().Add(time.Hour))
	if err := r.call(t, r.client(t, &old).ClientCredentials("")); err == nil {
		t.Error("a client of the old authority is let in")
	}
	pair := next.Client(t, time.Now().Add(time.Hour))
	after := &rig{authority: next}
	if err := r.call(t, after.client(t, &pair).ClientCredentials("")); err != nil {
		t.Errorf("a client of the new authority: %v", err)
	}
	want := `
# HELP gotapi_tls_reloads_total Changes of TLS files, by result: ok (the new ones are in use) or refused (they are invalid).
# TYPE gotapi_tls_reloads_total counter
gotapi_tls_reloads_total{result="ok",use="test"} 1
gotapi_tls_reloads_total{result="refused",use="test"} 0
`
	if err := testutil.GatherAndCompare(r.reg, strings.NewReader(want), "gotapi_tls_reloads_total"); err != nil {
		t.Error(err)
	}
}

func TestClientUsesItsReplacedCertificate(t *testing.T) {
	r := newRig(t, true)
	expired := r.authority.Client(t, time.Now().Add(-time.Minute))
	dir := t.TempDir()
	paths := tlsfiles.Paths{CA: r.paths.CA}
	paths.Cert, paths.Key = expired.Write(t, dir, "client")
	f, err := tlsfiles.Open(paths, "test", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	creds := f.ClientCredentials("")
	if err := r.call(t, creds); err == nil {
		t.Fatal("an expired certificate is accepted")
	}
	r.authority.Client(t, time.Now().Add(time.Hour)).Write(t, dir, "client")
	if err := f.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := r.call(t, creds); err != nil {
		t.Errorf("with the new certificate: %v", err)
	}
}

func TestFilesThatCannotBeUsedChangeNothingAndAreReportedOnce(t *testing.T) {
	var lines strings.Builder
	authority, dir := tlstest.NewAuthority(t), t.TempDir()
	var paths tlsfiles.Paths
	paths.Cert, paths.Key = authority.Server(t).Write(t, dir, "server")
	paths.CA = authority.Write(t, dir, "clients")
	f, err := tlsfiles.Open(paths, "test", slog.New(slog.NewTextHandler(&lines, nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	before := leaf(t, f)
	for name, breakIt := range map[string]func(){
		"a key of another certificate": func() { tlstest.WriteFile(t, paths.Key, authority.Server(t).Key) },
		"no certificate":               func() { tlstest.WriteFile(t, paths.Cert, []byte("nonsense")) },
		"no authority":                 func() { tlstest.WriteFile(t, paths.CA, []byte("nonsense")) },
		"no file":                      func() { _ = os.Remove(paths.CA) },
	} {
		lines.Reset()
		breakIt()
		for range 3 {
			if f.Reload() == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if got := leaf(t, f); !got.Equal(before) {
			t.Errorf("%s: another certificate is in use", name)
		}
		if n := strings.Count(lines.String(), "level=ERROR"); n != 1 {
			t.Errorf("%s: got %d lines in the log, want 1: %s", name, n, lines.String())
		}
		if tlsfiles.Check(paths) == nil {
			t.Errorf("%s: Check returns no error", name)
		}
	}
}

// leaf is the certificate that a client would see.
func leaf(t *testing.T, f *tlsfiles.Files) *x509.Certificate {
	t.Helper()
	c, err := f.Server("h2").GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf
}

func TestOldVersionsOfTLSAreRefused(t *testing.T) {
	r := newRig(t, false)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(r.authority.PEM)
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		d := &tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: version, NextProtos: []string{"h2"}}}
		conn, err := d.DialContext(t.Context(), "tcp", r.addr)
		if (err == nil) != want {
			t.Errorf("version %#x: got error %v, want success %v", version, err, want)
		}
		if err == nil {
			conn.Close()
		}
	}
}
