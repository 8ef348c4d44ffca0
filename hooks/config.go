package hooks

import (
	"bytes"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/gotapi/gotapi-ws/internal/secretfile"
)

// Config holds the settings of hooks. The zero Config has no hooks.
type Config struct {
	// URLs of the webhooks; "": none.
	BeforeURL, AfterURL string
	// File with the secret that signs requests; "": requests are not signed.
	SecretFile string
	// File with the authorities, PEM, that must have issued the certificates of the
	// webhooks; "": the machine's.
	CA string
	// How long a packet may wait for the answer, its turn included.
	Timeout time.Duration
	// Verdict on a packet without an answer: "deny" or "allow".
	OnFailure string
	// How many packets are asked about at one time, and how many more may wait.
	Concurrency, Queue int
}

// What OnFailure may be.
const (
	failDeny  = "deny"
	failAllow = "allow"
)

// minSecretBytes is the minimum of Standard Webhooks.
const minSecretBytes = 24

// RegisterFlags defines the flags, with their defaults.
func (c *Config) RegisterFlags(fs *flag.FlagSet) {
	fs.StringVar(&c.BeforeURL, "hook-before-url", "", "`URL` of the webhook that allows, denies or rewrites packets before publishing")
	fs.StringVar(&c.AfterURL, "hook-after-url", "", "`URL` of the webhook to notify of published packets")
	fs.StringVar(&c.SecretFile, "hook-secret-file", "", "`path` of a file with the secret that signs requests to hooks, at least 24 bytes;\na secret that begins with whsec_ is base64")
	fs.StringVar(&c.CA, "hook-ca", "", "`path` of a PEM file with the CAs of the certificates of hooks; if unset, the system's CAs")
	fs.DurationVar(&c.Timeout, "hook-timeout", time.Second, "maximum time that a packet waits for -hook-before-url")
	fs.StringVar(&c.OnFailure, "hook-on-failure", failDeny, "`verdict` on a packet when -hook-before-url does not answer: deny or allow")
	fs.IntVar(&c.Concurrency, "hook-concurrency", 64, "maximum number of concurrent requests to -hook-before-url")
	fs.IntVar(&c.Queue, "hook-queue", 1024, "maximum number of packets that wait for a request to -hook-before-url")
}

// Shared reports whether a flag of that name is one of RegisterFlags: programs of
// several services have it once.
func Shared(flagName string) bool { return strings.HasPrefix(flagName, "hook-") }

// Check calls check for each rule that settings must keep.
func (c *Config) Check(check func(ok bool, format string, args ...any)) {
	check(c.BeforeURL == "" || isURL(c.BeforeURL), "-hook-before-url: not a URL such as https://example.com/hook")
	check(c.AfterURL == "" || isURL(c.AfterURL), "-hook-after-url: not a URL such as https://example.com/hook")
	check(c.CA == "" || strings.HasPrefix(c.BeforeURL, "https:") || strings.HasPrefix(c.AfterURL, "https:"),
		"-hook-ca needs a hook whose URL begins with https://")
	if c.BeforeURL == "" {
		return
	}
	check(c.Timeout >= 10*time.Millisecond && c.Timeout <= MaxTimeout, "-hook-timeout: not from 10ms to %v", MaxTimeout)
	check(c.OnFailure == failDeny || c.OnFailure == failAllow, "-hook-on-failure: %q is not deny or allow", c.OnFailure)
	check(c.Concurrency >= 1 && c.Concurrency <= 10_000, "-hook-concurrency: not from 1 to 10000")
	check(c.Queue >= 0 && c.Queue <= 1_000_000, "-hook-queue: not from 0 to 1000000")
}

// CheckFiles returns an error if the file of the secret or of the authorities is invalid.
func (c *Config) CheckFiles() error {
	_, err := c.credentials(nil)
	return err
}

// SecretFiles returns the paths of the files that hold secrets.
func (c *Config) SecretFiles() []string { return []string{c.SecretFile} }

// MaxTimeout is the longest Timeout: below the time in which a WebSocket must show
// a sign of life.
const MaxTimeout = 5 * time.Second

// Wait is how long the hooks may hold a packet up.
func (c *Config) Wait() time.Duration {
	if c.BeforeURL == "" {
		return 0
	}
	return c.Timeout
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// parseSecret makes the key of signatures of what the secret file holds.
func parseSecret(secret []byte) ([]byte, error) {
	if encoded, ok := bytes.CutPrefix(secret, []byte("whsec_")); ok {
		var err error
		if secret, err = base64.StdEncoding.DecodeString(string(encoded)); err != nil {
			return nil, errors.New("not base64 after whsec_")
		}
	}
	if len(secret) < minSecretBytes {
		return nil, fmt.Errorf("the secret has %d bytes: use at least %d", len(secret), minSecretBytes)
	}
	return secret, nil
}

// openSecret returns nil if there is no secret file.
func (c *Config) openSecret(log *slog.Logger) (*secretfile.File, error) {
	return secretfile.Open("-hook-secret-file", c.SecretFile, parseSecret, log)
}
