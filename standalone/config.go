package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/historysvc"
)

// Config is what both services can be told, less what only makes sense when
// they are apart.
type Config struct {
	Edge edge.Config
	// Without Redis there is an embedded store.
	History historysvc.Config

	// Not flags.

	// Where to say, in a few lines, what this process listens on and what to
	// try; may be nil.
	Out io.Writer
	// Called once both services listen; may be nil.
	OnReady func(http, grpc net.Addr)
}

// Validate returns all that is wrong with the settings, in one line.
func (c *Config) Validate() error {
	p := parts{redis: c.History.Redis, serviceToken: anyToken}
	if c.embedded() {
		p.redis = anyRedis
	}
	face, history := c.edge(p), c.history(p)
	var all []string
	for _, err := range []error{
		checkListen("-listen", c.Edge.Listen),
		checkListen("-grpc-listen", c.History.Listen),
		face.Validate(),
		prefixed("history service: ", history.Validate()),
	} {
		if err != nil {
			all = append(all, err.Error())
		}
	}
	if len(all) == 0 {
		return nil
	}
	return errors.New(strings.Join(all, "; "))
}

// anyToken stands for the service token that Run draws.
const anyToken = "a token of the right length"

// anyRedis stands for the embedded store as long as that does not run.
const anyRedis = "redis://127.0.0.1/0"

func checkListen(name, address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%s: %q is not an address such as 127.0.0.1:4998", name, address)
	}
	return nil
}

func prefixed(prefix string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s%w", prefix, err)
}

// Probe asks the process that runs with these settings whether both services
// are well.
func (c *Config) Probe(ctx context.Context) error {
	if err := c.Edge.Probe(ctx); err != nil {
		return err
	}
	return c.History.Probe(ctx)
}
