// Package tlsfiles does TLS with certificates, keys and authorities that live in
// files, and uses what the files hold now: they are read again every few
// seconds, and when Reload is called. New files that cannot be used change
// nothing: what was read before stays in use, and the log says why.
//
// TLS 1.2 is the least that is spoken. A server that demands certificates of
// its clients resumes no sessions, so that each connection is checked against
// the current authorities. A reload does not touch open connections.
package tlsfiles

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// checkEvery is how often the files are looked at. It is also how long a
// replaced certificate may stay in use.
const checkEvery = 5 * time.Second

// Paths names the files, all of them PEM.
type Paths struct {
	// Our certificate, with its chain, and its key. Both or none.
	Cert, Key string
	// Authorities that the peers' certificates must come from. For a server,
	// none means that clients need no certificate; for a client, that the
	// machine's authorities count.
	CA string
}

// material is what the files held at one time.
type material struct {
	sum  [sha256.Size]byte
	cert *tls.Certificate // nil without Paths.Cert
	pool *x509.CertPool   // nil without Paths.CA
}

// Files is the present content of the files. Its methods may be called at once
// from many goroutines.
type Files struct {
	paths   Paths
	use     string
	log     *slog.Logger
	metrics *metrics
	present atomic.Pointer[material]

	mu sync.Mutex
	// What was last found and could not be used: it is reported once.
	refused [sha256.Size]byte
}

// Check reports whether the files can be used.
func Check(p Paths) error {
	_, err := read(p)
	return err
}

// Open reads the files. use says in logs and metrics what they are for; it is
// one of a few constants.
func Open(p Paths, use string, log *slog.Logger, reg prometheus.Registerer) (*Files, error) {
	m, err := read(p)
	if err != nil {
		return nil, err
	}
	f := &Files{paths: p, use: use, log: log}
	f.present.Store(m)
	f.metrics = newMetrics(f, reg)
	return f, nil
}

// Run looks for changes until ctx ends.
func (f *Files) Run(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			_ = f.Reload() // is in the log
		}
	}
}

// RunAll runs all of files until ctx ends.
func RunAll(ctx context.Context, files ...*Files) error {
	var all sync.WaitGroup
	for _, f := range files {
		all.Go(func() { _ = f.Run(ctx) }) // returns nil
	}
	<-ctx.Done()
	all.Wait()
	return nil
}

// Reload reads the files now. On an error, which is logged unless it was the
// last time, what was read before stays in use.
func (f *Files) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, err := read(f.paths)
	switch {
	case err != nil:
		if f.refused != m.sum {
			f.refused = m.sum
			f.metrics.refused.Inc()
			f.log.Error("reload tls files: keep the previous ones", "use", f.use, "error", err)
		}
		return err
	case m.sum == f.present.Load().sum:
		f.refused = [sha256.Size]byte{}
		return nil
	}
	f.refused = [sha256.Size]byte{}
	f.present.Store(m)
	f.metrics.reloaded.Inc()
	f.log.Info("new tls files are in use", "use", f.use, "expires", m.expires())
	return nil
}

// Use returns the use of the files that was given to Open.
func (f *Files) Use() string { return f.use }

// Expires returns when our certificate does; the zero time without one.
func (f *Files) Expires() time.Time { return f.present.Load().expires() }

// read returns, with an error too, the sum of what it found.
func read(p Paths) (*material, error) {
	m := &material{}
	hash := sha256.New()
	var contents [3][]byte
	var failed error
	for i, path := range []string{p.Cert, p.Key, p.CA} {
		if path == "" {
			continue
		}
		b, err := os.ReadFile(path) //nolint:gosec // the operator named it
		if err != nil {
			b = []byte(err.Error())
			if failed != nil {
				err = fmt.Errorf("%w; %w", failed, err)
			}
			failed = err
		}
		contents[i] = b
		fmt.Fprintf(hash, "%d:", len(b))
		hash.Write(b)
	}
	hash.Sum(m.sum[:0])
	if failed != nil {
		return m, failed
	}
	return m, m.parse(p, contents[0], contents[1], contents[2])
}

func (m *material) parse(p Paths, cert, key, ca []byte) error {
	if p.Cert != "" {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("%s and %s: %w", p.Cert, p.Key, err)
		}
		m.cert = &pair
	}
	if p.CA != "" {
		m.pool = x509.NewCertPool()
		if !m.pool.AppendCertsFromPEM(ca) {
			return fmt.Errorf("%s: no certificate in it", p.CA)
		}
	}
	return nil
}

// expires is when our certificate does; the zero time without one.
func (m *material) expires() time.Time {
	if m.cert == nil {
		return time.Time{}
	}
	return m.cert.Leaf.NotAfter
}

// owns reports whether c is our own certificate.
func (m *material) owns(c *x509.Certificate) bool {
	return m.cert != nil && bytes.Equal(m.cert.Certificate[0], c.Raw)
}
