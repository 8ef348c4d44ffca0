package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

var httpClient = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// publish sends message after message to a room until ctx ends, each again
// until it is stored.
func publish(ctx context.Context, r *room, addrs func() []string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := int64(1); ; n++ {
		for try := 0; !post(ctx, addrs(), try, r.name, n); try++ {
			if ctx.Err() != nil {
				return
			}
			wait(ctx, 50*time.Millisecond)
		}
		r.acked.Store(n)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// post returns whether message n is stored. A publish that has begun is not
// given up when ctx ends: what is stored and what is counted must be the same.
func post(ctx context.Context, addrs []string, try int, name string, n int64) bool {
	body := fmt.Sprintf(`{"type":2,"uuid":"%d","body":{"data":"%064d"}}`, n, n)
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost,
		"http://"+addrs[(int(n)+try)%len(addrs)]+name, strings.NewReader(body))
	if err != nil {
		return false
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK
}
