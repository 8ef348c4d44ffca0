package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// Server returns the settings of a server that speaks one of protos. Each
// connection gets the certificate of now. With Paths.CA, a client must show a
// certificate from one of these authorities that is made for clients, or the
// server's own one: so a process can ask itself whether it is well.
func (f *Files) Server(protos ...string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protos}
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return f.present.Load().cert, nil
	}
	if f.paths.CA == "" {
		return c
	}
	c.SessionTicketsDisabled = true
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		m := f.present.Load()
		return &tls.Config{
			MinVersion:             c.MinVersion,
			NextProtos:             c.NextProtos,
			Certificates:           []tls.Certificate{*m.cert},
			SessionTicketsDisabled: true,
			// The check is verifyClient's.
			ClientAuth:       tls.RequireAnyClientCert,
			ClientCAs:        m.pool,
			VerifyConnection: m.verifyClient,
		}, nil
	}
	return c
}

func (m *material) verifyClient(s tls.ConnectionState) error {
	leaf := s.PeerCertificates[0]
	if m.owns(leaf) {
		return nil
	}
	intermediates := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:         m.pool,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("the client's certificate: %w", err)
	}
	return nil
}

// Client returns the settings of now, for one connection to a server of that
// name; "": the dialer fills it in.
func (f *Files) Client(serverName string) *tls.Config { return f.present.Load().client(serverName) }

// client returns the settings of one connection to a server of that name.
func (m *material) client(serverName string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName, RootCAs: m.pool}
	if m.cert != nil {
		c.GetClientCertificate = m.show
	}
	return c
}

// Itself returns the settings with which a process asks the one that serves
// with these files, on the same machine, whether it is well. That is no secret,
// so any server will do: it may still use the files of before. Where it demands
// a certificate, it is shown its own.
func Itself(p Paths) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} //nolint:gosec // see above
	if p.CA == "" {
		return c, nil
	}
	m, err := read(p)
	if err != nil {
		return nil, err
	}
	c.GetClientCertificate = m.show
	return c, nil
}

// show answers a server's demand, whatever authorities it names: it knows best
// what it accepts, and says so.
func (m *material) show(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return m.cert, nil }
