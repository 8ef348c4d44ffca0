package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"

	"github.com/gotapi/gotapi-ws/services/health"
)

const statusPath = "/__status"

// Probe asks the edge that runs with the same settings whether it answers.
func (c *Config) Probe(ctx context.Context) error {
	addr, err := health.Local(c.Listen)
	if err != nil {
		return err
	}
	secure, err := c.tls()
	if err != nil {
		return err
	}
	if secure == nil {
		return health.HTTP(ctx, "http://"+addr+statusPath)
	}
	return probeTLS(ctx, "https://"+addr+statusPath, secure.Certificates[0])
}

// probeTLS trusts the edge's own certificate, whatever its name and its issuer.
func probeTLS(ctx context.Context, url string, cert tls.Certificate) error {
	own, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // replaced by VerifyConnection
		VerifyConnection: func(s tls.ConnectionState) error {
			if !s.PeerCertificates[0].Equal(own) {
				return errors.New("another certificate than the configured one")
			}
			return nil
		},
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("get %s: %w", url, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", url, response.Status)
	}
	return nil
}
