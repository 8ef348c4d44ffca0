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

// Authorizer identifies callers. It is safe for concurrent use. Without Run it does
// not read its files again, and never fetches keys behind a URL.
type Authorizer struct {
	cfg    Config
	rules  tokenRules
	parser *jwt.Parser
	log    *slog.Logger
	// The identity of all callers, if access is not checked; else nil.
	open   *Identity
	system *Identity
	remote *remoteKeys
	tokens cache

	reloading sync.Mutex
	state     atomic.Pointer[state]
}

// New reads the files. Its error is one line for the operator.
func New(cfg Config, log *slog.Logger) (*Authorizer, error) {
	a := &Authorizer{cfg: cfg, log: log, system: System(), rules: cfg.rules()}
	a.parser = a.rules.parser()
	if !cfg.Checks() {
		a.open = newOpen(cfg.RecallWindow)
	}
	if cfg.JWKSURL != "" {
		if strings.HasPrefix(cfg.JWKSURL, "http://") {
			log.Warn("keys of tokens come without TLS: others on the network can replace them")
		}
		a.remote = newRemoteKeys(&a.cfg, log, a.tokens.clear)
	}
	s, err := cfg.load(nil)
	if err != nil {
		return nil, err
	}
	a.use(s)
	return a, nil
}

// use makes s the state from now on.
func (a *Authorizer) use(s *state) {
	a.state.Store(s)
	if a.remote != nil {
		a.remote.trust(s.authorities)
	}
}

// Open reports whether access is not checked.
func (a *Authorizer) Open() bool { return a.open != nil }

// Cookie returns the name of the cookie that may carry a token; "": none.
func (a *Authorizer) Cookie() string { return a.cfg.Cookie }

// Run keeps what the Authorizer knows current until ctx ends.
func (a *Authorizer) Run(ctx context.Context) error {
	var fetching sync.WaitGroup
	if a.remote != nil {
		fetching.Go(func() { a.remote.run(ctx) })
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
		err := a.Reload()
		if err != nil && well {
			a.log.ErrorContext(ctx, "reload access: keep the previous state", "error", err)
		}
		well = err == nil
	}
}

// Reload reads the files again. On an error everything stays as it was.
func (a *Authorizer) Reload() error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	s, err := a.cfg.load(a.state.Load())
	if err != nil || s == nil {
		return err
	}
	a.use(s)
	a.tokens.clear()
	a.log.Info("access reloaded", "api_keys", len(s.apiKeys), "keys", len(s.ring))
	return nil
}

// Identify returns the caller with a credential: a token, an API key, or "". Its
// error is a *DeniedError.
func (a *Authorizer) Identify(ctx context.Context, credential string) (*Identity, error) {
	switch {
	case a.open != nil:
		return a.open, nil
	case credential == "":
		return a.state.Load().anonymous, nil
	case len(credential) > maxTokenBytes:
		return nil, errTooLong
	case isAPIKey(credential):
		return a.state.Load().apiKeys.identify(credential, time.Now())
	}
	return a.identifyToken(ctx, credential)
}

// Service returns the caller that may do everything if the credential is a
// service token, else nil.
func (a *Authorizer) Service(credential string) *Identity {
	if credential != "" && a.state.Load().isService(credential) {
		return a.system
	}
	return nil
}

// ServiceToken returns the token that this service presents to others of ours; "": none.
func (a *Authorizer) ServiceToken() string {
	if all := a.state.Load().serviceTokens; len(all) > 0 {
		return all[0]
	}
	return ""
}

// ChecksServices reports whether services must show a service token.
func (a *Authorizer) ChecksServices() bool { return a.cfg.HasServiceToken() }

func (a *Authorizer) identifyToken(ctx context.Context, token string) (*Identity, error) {
	hash := sha256.Sum256([]byte(token))
	id, generation := a.tokens.get(hash, time.Now())
	if id != nil {
		return id, nil
	}
	claims, err := a.verify(ctx, token)
	if err != nil {
		return nil, err
	}
	if id, err = a.rules.identity(claims, &a.state.Load().policy.Authenticated, a.cfg.RecallWindow); err != nil {
		a.log.DebugContext(ctx, "token with a valid signature has unusable claims", "error", err)
		return nil, err
	}
	a.tokens.put(hash, id, generation)
	return id, nil
}

// verify checks a token, with fresh keys if it names one that is not known.
func (a *Authorizer) verify(ctx context.Context, token string) (jwt.MapClaims, error) {
	ring := a.ring()
	claims, err := a.rules.verify(a.parser, ring, token)
	if a.remote == nil || !errors.Is(err, errNoKey) && (err == nil || !a.namesUnknownKey(ring, token)) {
		return claims, a.rules.refusal(claims, err)
	}
	current := a.remote.refresh(ctx)
	claims, err = a.rules.verify(a.parser, a.ring(), token)
	if err != nil && !current {
		return nil, &DeniedError{Status: http.StatusServiceUnavailable, Reason: KeysUnavailable, Msg: "the server cannot fetch the keys of tokens now"}
	}
	return claims, a.rules.refusal(claims, err)
}

// ring is all keys.
func (a *Authorizer) ring() keyring {
	local := a.state.Load().ring
	if a.remote == nil {
		return local
	}
	return append(local[:len(local):len(local)], a.remote.keys()...)
}

// namesUnknownKey reports whether a token names a key that is not in the ring.
func (a *Authorizer) namesUnknownKey(ring keyring, token string) bool {
	t, _, err := a.parser.ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		return false
	}
	id, _ := t.Header["kid"].(string)
	return id != "" && !ring.has(id)
}
