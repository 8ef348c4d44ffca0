package historysvc_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/services/tlsfiles/tlstest"
)

// guarded is a Redis that speaks TLS only and wants a password, with the flags
// that a service needs for it.
func guarded(t *testing.T, name string) (flags []string) {
	t.Helper()
	a, dir := tlstest.NewAuthority(t), t.TempDir()
	var files redistest.TLS
	files.Cert, files.Key = a.Server(t, name).Write(t, dir, "redis")
	files.ClientCert, files.ClientKey = a.Client(t, time.Now().Add(time.Hour)).Write(t, dir, "client")
	files.CA = a.Write(t, dir, "ca")
	server := redistest.StartTLS(t, files, "--requirepass", "hunter2")
	secret := filepath.Join(dir, "password")
	tlstest.WriteFile(t, secret, []byte("hunter2\n"))
	return []string{
		"-listen", "127.0.0.1:0", "-redis", "rediss://" + server.Addr, "-redis-password-file", secret, "-redis-tls-ca", files.CA,
		"-redis-tls-cert", files.ClientCert, "-redis-tls-key", files.ClientKey, "-redis-tls-server-name", name,
	}
}

func TestServiceReachesRedisOverTLSWithAPasswordFromAFile(t *testing.T) {
	s := startWith(t, settings(t, guarded(t, "redis.example")...), nil)
	if _, err := s.history.Publish(t.Context(), &historyv1.PublishRequest{GroupName: room, Packet: data("u1")}); err != nil {
		t.Error(err)
	}
}

func TestServiceDoesNotStartWithABadLogin(t *testing.T) {
	flags := guarded(t, "redis.example")
	empty := filepath.Join(t.TempDir(), "empty")
	tlstest.WriteFile(t, empty, []byte("\n"))
	wrong := filepath.Join(t.TempDir(), "wrong")
	tlstest.WriteFile(t, wrong, []byte("hunter3"))
	for _, tt := range []struct {
		change []string
		want   string
	}{
		{[]string{"-redis-password-file", empty}, "is empty"},
		{[]string{"-redis-password-file", empty + "x"}, "-redis-password-file"},
		{[]string{"-redis-password-file", wrong}, "WRONGPASS"},
		{[]string{"-redis-tls-ca", wrong}, "no certificate in it"},
		{[]string{"-redis-tls-server-name", "other.example"}, "other.example"},
	} {
		var log bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := historysvc.Run(ctx, settings(t, append(flags, tt.change...)...), slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
		cancel()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.change, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error()+log.String(), "hunter") {
			t.Errorf("%v: the password shows: %v", tt.change, err)
		}
	}
}
