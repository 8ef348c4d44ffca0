package health_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/services/health"
)

func TestReadyMeansEveryCheckAndNeitherStartingNorStopping(t *testing.T) {
	c := new(health.Checks)
	wantReady := func(want string) {
		t.Helper()
		err := c.Ready(t.Context())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Ready = %v, want %q", err, want)
		}
	}
	wantReady("starting")
	select {
	case <-c.Started():
		t.Error("started before there was a check")
	default:
	}
	var redis, relay error
	c.Add("redis", func(context.Context) error { return redis })
	c.Add("relay", func(context.Context) error { return relay })
	<-c.Started()
	wantReady("")
	redis = errors.New("no answer")
	wantReady("redis: no answer")
	relay = errors.New("down")
	wantReady("relay: down")
	redis, relay = nil, nil
	wantReady("")
	c.Stop()
	wantReady("going down")
	(*health.Checks)(nil).Add("nobody asks", nil)
}
