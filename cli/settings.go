package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
	"github.com/gotapi/gotapi-ws/clients/go/gotapirpc"
	"github.com/gotapi/gotapi-ws/internal/secretfile"
)

// envPrefix begins the names of the environment variables of global flags.
const envPrefix = "GOTAPI_"

// settings are the flags that every command has. A flag beats its variable.
type settings struct {
	url                       string
	token                     string // never a flag: other users can read command lines
	tokenFile                 string
	caFile, certFile, keyFile string
	timeout                   time.Duration
	json                      bool
}

func (s *settings) register(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&s.url, "url", "http://127.0.0.1:4998", "server: http(s)://, ws(s):// or grpc(s)://host:port, plus the path that a proxy serves it under, if any (GOTAPI_URL)")
	f.StringVar(&s.tokenFile, "token-file", "", "`path` of a file with the token or the admin secret (GOTAPI_TOKEN_FILE; GOTAPI_TOKEN holds the token itself)")
	f.StringVar(&s.caFile, "ca-file", "", "`path` of the CA certificates to trust instead of the system's, PEM (GOTAPI_CA_FILE)")
	f.StringVar(&s.certFile, "cert-file", "", "`path` of the client certificate for mutual TLS, PEM (GOTAPI_CERT_FILE)")
	f.StringVar(&s.keyFile, "key-file", "", "`path` of the client certificate's key, PEM (GOTAPI_KEY_FILE)")
	f.DurationVar(&s.timeout, "timeout", 15*time.Second, "limit on one request, retries included (GOTAPI_TIMEOUT)")
	f.BoolVar(&s.json, "json", false, "write JSON, one object per line")
}

// fromEnvironment sets the flags that the command line left out.
func (s *settings) fromEnvironment(cmd *cobra.Command, lookup func(string) (string, bool)) error {
	var all []error
	cmd.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := lookup(name); ok && v != "" && !f.Changed && f.Name != "json" {
			if err := f.Value.Set(v); err != nil {
				all = append(all, fmt.Errorf("%s: %w", name, err))
			}
		}
	})
	s.token, _ = lookup(envPrefix + "TOKEN")
	if s.timeout <= 0 {
		all = append(all, errors.New("--timeout: must be above 0"))
	}
	if len(all) > 0 {
		return usageError{errors.Join(all...)}
	}
	return nil
}

// readToken returns the token, from wherever it is.
func (s *settings) readToken() (string, error) {
	if s.tokenFile == "" {
		return s.token, checkToken(envPrefix+"TOKEN", s.token)
	}
	b, err := os.ReadFile(s.tokenFile)
	if err != nil {
		return "", inputf("--token-file: %w", err)
	}
	if err := secretfile.Check(b); err != nil {
		return "", inputf("--token-file: %s %w", s.tokenFile, err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", inputf("--token-file: %s is empty", s.tokenFile)
	}
	return token, checkToken("--token-file: "+s.tokenFile, token)
}

// checkToken refuses a token that no HTTP header can carry, such as one after a byte order mark.
func checkToken(where, token string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return inputf("%s: not a token: it must be printable ASCII without spaces or a byte order mark", where)
	}
	return nil
}

// tokenSource reads the token again each time, because its file may hold a newer one.
func (s *settings) tokenSource(context.Context, gotapi.TokenReason) (string, error) {
	return s.readToken()
}

// tls returns nil if the system's certificates are enough.
func (s *settings) tls() (*tls.Config, error) {
	if s.caFile == "" && s.certFile == "" && s.keyFile == "" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.caFile != "" {
		pem, err := os.ReadFile(s.caFile)
		if err != nil {
			return nil, inputf("--ca-file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, inputf("--ca-file: %s has no certificate", s.caFile)
		}
	}
	if s.certFile != "" || s.keyFile != "" {
		cert, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
		if err != nil {
			return nil, inputf("--cert-file, --key-file: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}

// connect makes the client for the URL's scheme. It sends nothing.
func (a *app) connect() (*server, error) {
	s := &a.settings
	token, err := s.readToken()
	if err != nil {
		return nil, err
	}
	config, err := s.tls()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(s.url)
	if err != nil || u.Host == "" {
		return nil, usagef("--url: not a URL such as http://127.0.0.1:4998")
	}
	if !slices.Contains([]string{"http", "https", "ws", "wss", "grpc", "grpcs"}, u.Scheme) {
		return nil, usagef("--url: scheme %q is not one of http, https, ws, wss, grpc, grpcs", u.Scheme)
	}
	if token != "" && !encrypted(u.Scheme) && !isLoopback(u.Hostname()) {
		fmt.Fprintf(a.Err, "gotapi: warning: sending the token to %s unencrypted\n", u.Host)
	}
	if strings.HasPrefix(u.Scheme, "grpc") {
		return connectRPC(u, s.tokenSource, config)
	}
	client, err := gotapi.New(s.url, gotapi.Options{TokenSource: s.tokenSource, TLS: config})
	if err != nil {
		return nil, usagef("--url: %w", err)
	}
	return overHTTP(client, strings.HasPrefix(u.Scheme, "ws")), nil
}

func connectRPC(u *url.URL, tokens gotapi.TokenSource, config *tls.Config) (*server, error) {
	switch {
	case u.Path != "" && u.Path != "/", u.User != nil, u.RawQuery != "":
		return nil, usagef("--url: a gRPC URL is only grpc://host:port or grpcs://host:port")
	case u.Scheme == "grpc":
		config = nil
	case config == nil:
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	client, err := gotapirpc.Dial("dns:///"+u.Host, gotapirpc.Options{TokenSource: tokens, TLS: config})
	if err != nil {
		return nil, usagef("--url: %w", err)
	}
	return overRPC(client), nil
}

func encrypted(scheme string) bool { return strings.HasSuffix(scheme, "s") && scheme != "ws" }

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// limited bounds one request by --timeout.
func (a *app) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.settings.timeout)
}
