package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gotapi/gotapi-ws/internal/secretfile"
)

// minServiceToken is the length of the shortest service token, in bytes.
const minServiceToken = 16

// state is what the files say.
type state struct {
	policy policy
	// The callers without a credential.
	anonymous *Identity
	ring      keyring
	// Of the JSON Web Key Set behind a URL; nil: the machine's.
	authorities *x509.CertPool
	apiKeys     apiKeys
	// The first one is ours to show.
	serviceTokens []string
	// What the files held: to see whether they have changed.
	digest [sha256.Size]byte
}

// file is one file of the configuration and what reads it.
type file struct {
	flag, path string
	parse      func(b []byte) error
}

func (f file) read() ([]byte, error) {
	b, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("-%s: %w", f.flag, err)
	}
	return b, nil
}

// use parses what read has read.
func (f file) use(b []byte) error {
	if err := secretfile.Check(b); err != nil {
		return fmt.Errorf("-%s: %s %w", f.flag, f.path, err)
	}
	if err := f.parse(b); err != nil {
		return fmt.Errorf("-%s: %s: %w", f.flag, f.path, err)
	}
	return nil
}

// files are those that are configured; what they say goes into s.
func (c *Config) files(s *state) []file {
	keys := func(parse func([]byte) (keyring, error)) func([]byte) error {
		return func(b []byte) error {
			ring, err := parse(b)
			s.ring = append(s.ring, ring...)
			return err
		}
	}
	all := []file{
		{"auth-secret-file", c.SecretFile, keys(parseSecrets)},
		{"auth-keys-file", c.PEMFile, keys(parsePEM)},
		{"auth-jwks-file", c.JWKSFile, keys(func(b []byte) (keyring, error) { return parseJWKS(b, true) })},
		{"auth-jwks-ca", c.JWKSCA, func(b []byte) error {
			s.authorities = x509.NewCertPool()
			if !s.authorities.AppendCertsFromPEM(b) {
				return errors.New("no certificate in it")
			}
			return nil
		}},
		{"auth-api-keys-file", c.APIKeysFile, func(b []byte) (err error) {
			s.apiKeys, err = parseAPIKeys(b)
			return err
		}},
		{"auth-policy-file", c.PolicyFile, func(b []byte) error {
			p, err := parsePolicy(b)
			if err == nil {
				s.policy = *p
			}
			return err
		}},
		{"service-token-file", c.ServiceTokenFile, func(b []byte) (err error) {
			s.serviceTokens, err = parseServiceTokens(b)
			return err
		}},
	}
	configured := all[:0]
	for _, f := range all {
		if f.path != "" {
			configured = append(configured, f)
		}
	}
	return configured
}

// load reads all files. It returns nil if they hold what they held when before
// was read.
func (c *Config) load(before *state) (*state, error) {
	s := new(state)
	if c.ServiceToken != "" {
		s.serviceTokens = []string{c.ServiceToken}
	}
	files := c.files(s)
	contents := make([][]byte, len(files))
	sum := sha256.New()
	for i, f := range files {
		b, err := f.read()
		if err != nil {
			return nil, err
		}
		contents[i] = b
		part := sha256.Sum256(b)
		sum.Write(part[:])
	}
	if sum.Sum(s.digest[:0]); before != nil && s.digest == before.digest {
		return nil, nil
	}
	for i, f := range files {
		if err := f.use(contents[i]); err != nil {
			return nil, err
		}
	}
	rights, err := s.policy.Anonymous.compile("")
	if err != nil {
		return nil, err
	}
	s.anonymous = &Identity{rights: rights, window: c.RecallWindow, author: nobody}
	return s, nil
}

func parseServiceTokens(b []byte) ([]string, error) {
	tokens := strings.Fields(string(bytes.TrimSpace(b)))
	if len(tokens) == 0 {
		return nil, errors.New("holds no token")
	}
	for _, t := range tokens {
		if len(t) < minServiceToken {
			return nil, fmt.Errorf("a token has %d bytes: use at least %d", len(t), minServiceToken)
		}
	}
	return tokens, nil
}

// isService compares a credential with the service tokens in a time that tells
// nothing about them.
func (s *state) isService(credential string) bool {
	presented := sha256.Sum256([]byte(credential))
	found := 0
	for _, token := range s.serviceTokens {
		one := sha256.Sum256([]byte(token))
		found |= subtle.ConstantTimeCompare(presented[:], one[:])
	}
	return found == 1
}
