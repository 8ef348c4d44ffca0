package access

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
)

// Announce logs one line about who may do what on a service that listens there.
func (a *Authorizer) Announce(ctx context.Context, listens net.Addr) {
	s := a.state.Load()
	if a.open == nil {
		a.log.InfoContext(ctx, "access is checked", "by", a.ways(s), "anonymous_may", describe(&s.anonymous.rights))
		return
	}
	level := slog.LevelInfo
	if !isLoopback(listens) {
		level = slog.LevelWarn
	}
	a.log.Log(ctx, level, "access is open: everyone who reaches this address may join, publish, read and recall everywhere",
		"address", listens.String(), "see", "docs/security.md")
}

// ways are the ways to tell callers apart.
func (a *Authorizer) ways(s *state) string {
	var all []string
	if len(s.ring) > 0 {
		all = append(all, fmt.Sprintf("tokens (keys: %d)", len(s.ring)))
	}
	if a.remote != nil {
		all = append(all, "tokens (keys behind a URL)")
	}
	if a.cfg.APIKeysFile != "" {
		all = append(all, fmt.Sprintf("API keys: %d", len(s.apiKeys)))
	}
	if len(all) == 0 {
		return "policy only"
	}
	return strings.Join(all, ", ")
}

// describe names the actions that are possible in some group.
func describe(r *Rights) string {
	var all []string
	for _, one := range []struct {
		name     string
		patterns Patterns
	}{
		{"join", r.Join},
		{"publish", r.Publish},
		{"read", r.Read},
		{"recall", r.RecallAny},
		{"administer", r.Admin},
	} {
		if len(one.patterns) > 0 {
			all = append(all, one.name)
		}
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ", ") + " in some groups"
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback() // pipes do not leave the machine
}

// KeyCommand is the command "api-key NAME": it draws an API key and writes it with
// its entry for the file of API keys. It returns the exit code.
func KeyCommand(args []string, stdout, stderr io.Writer) int {
	if len(args) != 1 || args[0] == "" || len(args[0]) > maxNameBytes || strings.HasPrefix(args[0], "-") {
		fmt.Fprintln(stderr, "usage: api-key NAME (makes an API key for the backend NAME)")
		return 2
	}
	key, entry := NewAPIKey(args[0])
	fmt.Fprintf(stdout, "# The key. It is shown only once; send it in the header X-API-Key or Authorization: Bearer.\n%s\n\n"+
		"# The entry for -auth-api-keys-file: choose its rights.\n%s", key, entry)
	return 0
}
