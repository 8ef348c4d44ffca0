package standalone

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/historysvc"
	"github.com/gotapi/gotapi-ws/services/config"
	"github.com/gotapi/gotapi-ws/services/health"
)

// Config holds the settings of both services, without those that only make sense when
// they run apart.
type Config struct {
	Edge edge.Config
	// Without Redis there is an embedded store.
	History historysvc.Config

	// Not flags.

	// Gets the banner: the addresses of this process, and commands to try; may be nil.
	Out io.Writer
	// Called once both services listen; may be nil.
	OnReady func(http, grpc net.Addr)
	// Makes tracers; nil: nothing is traced.
	Tracing trace.TracerProvider
	// Gets the readiness checks; may be nil.
	Ready *health.Checks
	// Serves what the edge shows on the operations port; may be nil.
	Ops *http.ServeMux
	// New settings; those that can change while both services run are used.
	Reloads <-chan *Config
}

// Validate returns what is wrong with the settings: config.Errors.
func (c *Config) Validate() error {
	p := parts{redis: c.History.Redis, serviceToken: anyToken}
	if c.embedded() {
		p.redis = anyRedis
	}
	face, history := c.edge(p), c.history(p)
	var wrong, ofHistory config.Errors
	wrong.Add(face.Validate())
	ofHistory.Add(history.Validate())
	for _, problem := range ofHistory {
		wrong.Add(errors.New(inFlagsOfBoth(problem)))
	}
	return wrong.Err()
}

// inFlagsOfBoth replaces the flag at the beginning of a problem of the history service by
// its name here.
func inFlagsOfBoth(problem string) string {
	rest, ok := strings.CutPrefix(problem, "-")
	if !ok {
		return problem
	}
	end := max(strings.IndexAny(rest, ":, "), 0)
	return "-" + historyFlag(rest[:end], flagsOf(new(edge.Config).RegisterFlags)) + rest[end:]
}

// CheckFiles returns what is wrong with the files that the settings name.
func (c *Config) CheckFiles() error {
	var wrong config.Errors
	wrong.Add(c.Edge.CheckFiles())
	wrong.Add(c.History.CheckFiles())
	return wrong.Err()
}

// SecretFiles returns the paths of the files that hold secrets.
func (c *Config) SecretFiles() []string {
	all := append(c.Edge.SecretFiles(), c.History.SecretFiles()...)
	slices.Sort(all)
	return slices.Compact(all)
}

// Warnings returns what is valid, but not wise.
func (c *Config) Warnings() []string { return append(c.Edge.Warnings(), c.History.Warnings()...) }

// anyToken is a placeholder for the service token that Run draws.
const anyToken = "a token of the right length"

// anyRedis is a placeholder for the embedded store before it runs.
const anyRedis = "redis://127.0.0.1/0"

// Probe checks the health of both services of the process that runs with these settings.
func (c *Config) Probe(ctx context.Context) error {
	if err := c.Edge.Probe(ctx); err != nil {
		return err
	}
	return c.History.Probe(ctx)
}
