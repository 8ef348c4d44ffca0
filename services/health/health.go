// Package health asks a running service whether it is well. Container health
// checks use it through the programs' -probe flag, because the images hold
// nothing but the program.
package health

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// HTTP returns nil if a GET of the URL is answered with 200. secure is for
// https; nil means the usual checks.
func HTTP(ctx context.Context, url string, secure *tls.Config) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	// A transport of its own: nothing is left behind.
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: secure}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("get %s: %w", url, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil {
		return fmt.Errorf("get %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", url, resp.Status)
	}
	return nil
}

// GRPC returns nil if the health service at addr (host:port) says SERVING for
// the server as a whole. It speaks TLS if secure is not nil.
func GRPC(ctx context.Context, addr string, secure *tls.Config) error {
	creds := insecure.NewCredentials()
	if secure != nil {
		creds = credentials.NewTLS(secure)
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer conn.Close()
	resp, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		return fmt.Errorf("health of %s: %w", addr, err)
	}
	if resp.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("health of %s: %s", addr, resp.GetStatus())
	}
	return nil
}

// Local turns the address a service listens on (":4998", "0.0.0.0:4998",
// "[::]:4998") into one where this machine reaches it.
func Local(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip != nil && ip.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}
