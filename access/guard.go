package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// reloadEvery is how soon a changed file is noticed. Files of Kubernetes appear as
// new links, so contents are compared rather than watched.
const reloadEvery = 5 * time.Second

// Guard tells who callers are. Its methods may be called at once from many
// goroutines. Without Run its files are not read again, and keys behind a URL
// are never fetched.
type Guard struct {
	cfg    Config
	rules  tokenRules
	parser *jwt.Parser
	log    *slog.Logger
	// Everybody, when nobody is asked who they are; else nil.
	open   *Identity
	system *Identity
	remote *remote
	tokens cache

	reloading sync.Mutex
	state     atomic.Pointer[state]
}

// New reads the files. Its error is one line for the operator.
func New(cfg Config, log *slog.Logger) (*Guard, error) {
	g := &Guard{
		cfg: cfg, log: log, system: System(),
		rules: tokenRules{issuer: cfg.Issuer, audience: cfg.audiences(), leeway: cfg.Leeway, claim: cfg.Claim},
	}
	g.parser = g.rules.parser()
	if !cfg.Checks() {
		g.open = newOpen(cfg.RecallWindow)
	}
	if cfg.JWKSURL != "" {
		if strings.HasPrefix(cfg.JWKSURL, "http://") {
			log.Warn("keys of tokens are fetched without TLS: who is on the way can replace them")
		}
		g.remote = newRemote(cfg.JWKSURL, cfg.JWKSRefresh, log, g.tokens.clear)
	}
	s, err := cfg.load(nil)
	if err != nil {
		return nil, err
	}
	g.state.Store(s)
	return g, nil
}

// Open says whether nobody is asked who they are.
func (g *Guard) Open() bool { return g.open != nil }

// Cookie is the name of the cookie that may carry a token; "": none.
func (g *Guard) Cookie() string { return g.cfg.Cookie }

// Run keeps what the Guard knows current until ctx ends.
func (g *Guard) Run(ctx context.Context) error {
	var fetching sync.WaitGroup
	if g.remote != nil {
		fetching.Go(func() { g.remote.run(ctx) })
	}
	defer fetching.Wait()
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for well := true; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := g.Reload()
		if err != nil && well {
			g.log.ErrorContext(ctx, "access cannot be read again, the last state stays", "error", err)
		}
		well = err == nil
	}
}

// Reload reads the files again. On an error everything stays as it was.
func (g *Guard) Reload() error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	s, err := g.cfg.load(g.state.Load())
	if err != nil || s == nil {
		return err
	}
	g.state.Store(s)
	g.tokens.clear()
	g.log.Info("access was read again", "api_keys", len(s.apiKeys), "keys", len(s.ring))
	return nil
}

// Identify tells who presents a credential: a token, an API key, or "". Its error
// is a *DeniedError.
func (g *Guard) Identify(ctx context.Context, credential string) (*Identity, error) {
	switch {
	case g.open != nil:
		return g.open, nil
	case credential == "":
		return g.state.Load().anonymous, nil
	case len(credential) > maxTokenBytes:
		return nil, &DeniedError{Status: http.StatusUnauthorized, Msg: "the token is too long"}
	case isAPIKey(credential):
		return g.state.Load().apiKeys.identify(credential, time.Now())
	}
	return g.identifyToken(ctx, credential)
}

// Service returns the caller that may do everything if the credential is a
// service token, else nil.
func (g *Guard) Service(credential string) *Identity {
	if credential != "" && g.state.Load().isService(credential) {
		return g.system
	}
	return nil
}

// ServiceToken is what this service shows others of ours; "" if there is none.
func (g *Guard) ServiceToken() string {
	if all := g.state.Load().serviceTokens; len(all) > 0 {
		return all[0]
	}
	return ""
}

// ChecksServices says whether callers without a service token are strangers.
func (g *Guard) ChecksServices() bool { return g.cfg.HasServiceToken() }

func (g *Guard) identifyToken(ctx context.Context, token string) (*Identity, error) {
	hash := sha256.Sum256([]byte(token))
	id, era := g.tokens.get(hash, time.Now())
	if id != nil {
		return id, nil
	}
	claims, err := g.verify(ctx, token)
	if err != nil {
		return nil, err
	}
	if id, err = g.rules.identity(claims, &g.state.Load().policy.Authenticated, g.cfg.RecallWindow); err != nil {
		g.log.DebugContext(ctx, "a token was signed well, but cannot be used", "error", err)
		return nil, &DeniedError{Status: http.StatusUnauthorized, Msg: "the token's claims cannot be used: " + err.Error()}
	}
	g.tokens.put(hash, id, era)
	return id, nil
}

// verify checks a token, with fresh keys if it names one that is not known.
func (g *Guard) verify(ctx context.Context, token string) (jwt.MapClaims, error) {
	ring, complete := g.ring()
	claims, err := g.rules.verify(g.parser, ring, token)
	if g.remote != nil && (errors.Is(err, errNoKey) || err != nil && g.namesUnknownKey(ring, token)) {
		g.remote.refresh(ctx)
		ring, complete = g.ring()
		claims, err = g.rules.verify(g.parser, ring, token)
	}
	switch {
	case err == nil:
		return claims, nil
	case !complete && errors.Is(err, errNoKey):
		return nil, &DeniedError{Status: http.StatusServiceUnavailable, Msg: "the keys of tokens cannot be had now"}
	}
	return nil, refusalOf(err)
}

// ring is all keys. complete is false as long as those behind the URL have never
// been fetched.
func (g *Guard) ring() (ring keyring, complete bool) {
	local := g.state.Load().ring
	if g.remote == nil {
		return local, true
	}
	fetched, ok := g.remote.keys()
	return append(local[:len(local):len(local)], fetched...), ok
}

// namesUnknownKey says whether a token names a key that is not in the ring.
func (g *Guard) namesUnknownKey(ring keyring, token string) bool {
	t, _, err := g.parser.ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		return false
	}
	id, _ := t.Header["kid"].(string)
	return id != "" && !ring.has(id)
}
