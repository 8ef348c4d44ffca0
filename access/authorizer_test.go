package access

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/wire/group"
)

const secret = "a secret that is longer than 32 bytes"

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newGuard(t *testing.T, cfg Config) *Authorizer {
	t.Helper()
	if cfg.Claim == "" {
		cfg.Claim = "gotapi"
	}
	g, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// signed makes a token; claims are added to a subject and an expiry in an hour,
// and nil ones taken away.
func signed(t *testing.T, method jwt.SigningMethod, key any, kid string, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range claims {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	token := jwt.NewWithClaims(method, all)
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func hs256(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	return signed(t, jwt.SigningMethodHS256, []byte(secret), "", claims)
}

func wantRefusal(t *testing.T, what string, err error, status int) {
	t.Helper()
	var r *DeniedError
	if !errors.As(err, &r) || r.Status != status || r.Reason == "" {
		t.Errorf("%s: %v, want a refusal with %d and a reason", what, err, status)
	}
}

func reasonOf(err error) Reason {
	var r *DeniedError
	errors.As(err, &r)
	return r.Reason
}

type keyPair struct {
	method  jwt.SigningMethod
	private crypto.Signer
}

// keyPairs are one of each kind. They are made once: RSA takes its time.
func keyPairs(t *testing.T) map[string]keyPair {
	t.Helper()
	r, err1 := rsa.GenerateKey(rand.Reader, 2048)
	e, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, ed, err3 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return map[string]keyPair{
		"RS256": {jwt.SigningMethodRS256, r}, "ES256": {jwt.SigningMethodES256, e}, "EdDSA": {jwt.SigningMethodEdDSA, ed},
	}
}

func pemOf(t *testing.T, public crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// jwksOf is a set of the public keys, by id.
func jwksOf(t *testing.T, keys map[string]any) string {
	t.Helper()
	var all []json.RawMessage
	for id, k := range keys {
		j, err := jwkset.NewJWKFromKey(k, jwkset.JWKOptions{
			Marshal:  jwkset.JWKMarshalOptions{Private: true},
			Metadata: jwkset.JWKMetadataOptions{KID: id},
		})
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(j.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	b, err := json.Marshal(map[string]any{"keys": all})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTokensOfEveryKindOfKeyAreAccepted(t *testing.T) {
	pairs := keyPairs(t)
	var pems strings.Builder
	set := map[string]any{"secret": []byte(secret)}
	for name, p := range pairs {
		pems.WriteString(pemOf(t, p.private.Public()))
		set[name] = p.private.Public()
	}
	byPEM := newGuard(t, Config{PEMFile: write(t, "keys.pem", pems.String())})
	bySet := newGuard(t, Config{JWKSFile: write(t, "jwks.json", jwksOf(t, set))})
	private := make(map[string]any)
	for name, p := range pairs {
		private[name] = p.private
	}
	byIssuersSet := newGuard(t, Config{JWKSFile: write(t, "jwks.json", jwksOf(t, private))})
	bySecret := newGuard(t, Config{SecretFile: write(t, "secret", secret+"\n")})

	check := func(what string, g *Authorizer, token string) {
		t.Helper()
		id, err := g.Identify(t.Context(), token)
		if err != nil || id.Name() != "alice" {
			t.Errorf("%s: %v, %v", what, id, err)
		}
	}
	for name, p := range pairs {
		check(name+" by PEM", byPEM, signed(t, p.method, p.private, "", nil))
		check(name+" by PEM, with an id", byPEM, signed(t, p.method, p.private, "any", nil))
		check(name+" by set", bySet, signed(t, p.method, p.private, name, nil))
		check(name+" by a set of private keys", byIssuersSet, signed(t, p.method, p.private, name, nil))
		check(name+" by set, without id", bySet, signed(t, p.method, p.private, "", nil))
	}
	check("HS256", bySecret, hs256(t, nil))
	check("HS256 by set", bySet, hs256(t, nil))
}

func TestForgedAndUnfitTokensAreRefused(t *testing.T) {
	pairs := keyPairs(t)
	rsaPEM := pemOf(t, pairs["RS256"].private.Public())
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	g := newGuard(t, Config{
		SecretFile: write(t, "secret", secret), PEMFile: write(t, "keys.pem", rsaPEM+pemOf(t, pairs["EdDSA"].private.Public())),
		Issuer: "https://id.example", Audience: "chat, other", Leeway: 10 * time.Second,
	})
	fit := jwt.MapClaims{"iss": "https://id.example", "aud": "chat"}
	with := func(name string, value any) jwt.MapClaims {
		c := jwt.MapClaims{"iss": "https://id.example", "aud": "chat"}
		c[name] = value
		return c
	}
	good := hs256(t, fit)
	if _, err := g.Identify(t.Context(), good); err != nil {
		t.Fatalf("a fit token: %v", err)
	}
	parts := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	now := time.Now()
	reasons := map[string]Reason{
		"nothing like a token": BadToken, "another signature": BadSignature, "a key that is not ours": BadSignature,
		"no key of this algorithm": BadSignature, "expired": ExpiredToken, "not valid yet": BadToken, "an unknown API key": UnknownAPIKey,
	}
	for name, token := range map[string]string{
		"nothing like a token":     "hello",
		"two parts":                parts[0] + "." + parts[1],
		"another signature":        parts[0] + "." + parts[1] + "." + encode(make([]byte, 32)),
		"no signature":             parts[0] + "." + parts[1] + ".",
		"another payload":          parts[0] + "." + encode([]byte(`{"sub":"root","exp":99999999999,"iss":"https://id.example","aud":"chat"}`)) + "." + parts[2],
		"alg none":                 signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", fit),
		"RSA key as HMAC secret":   signed(t, jwt.SigningMethodHS256, []byte(rsaPEM), "", fit),
		"HS512 with the secret":    signed(t, jwt.SigningMethodHS512, []byte(secret), "", fit),
		"RS512 with the key":       signed(t, jwt.SigningMethodRS512, pairs["RS256"].private, "", fit),
		"PS256 with the key":       signed(t, jwt.SigningMethodPS256, pairs["RS256"].private, "", fit),
		"a key that is not ours":   signed(t, jwt.SigningMethodEdDSA, other, "", fit),
		"no key of this algorithm": signed(t, pairs["ES256"].method, pairs["ES256"].private, "", fit),
		"expired":                  hs256(t, with("exp", now.Add(-time.Minute).Unix())),
		"without expiry":           hs256(t, with("exp", nil)),
		"expiry of another type":   hs256(t, with("exp", "never")),
		"not valid yet":            hs256(t, with("nbf", now.Add(time.Minute).Unix())),
		"another issuer":           hs256(t, with("iss", "https://evil.example")),
		"without issuer":           hs256(t, with("iss", nil)),
		"another audience":         hs256(t, with("aud", []string{"x", "y"})),
		"without audience":         hs256(t, with("aud", nil)),
		"subject of another type":  hs256(t, with("sub", 7)),
		"a subject without end":    hs256(t, with("sub", strings.Repeat("x", 257))),
		"a claim of another type":  hs256(t, with("gotapi", []string{"join"})),
		"a claim with a bad list":  hs256(t, with("gotapi", map[string]any{"join": []string{"x"}})),
		"too long":                 hs256(t, with("pad", strings.Repeat("x", maxTokenBytes))),
		"an unknown API key":       "gotapi_ABC",
	} {
		id, err := g.Identify(t.Context(), token)
		if id != nil {
			t.Errorf("%s: accepted as %q", name, id.Name())
		}
		wantRefusal(t, name, err, 401)
		if want, ok := reasons[name]; ok && reasonOf(err) != want {
			t.Errorf("%s: reason %s, want %s", name, reasonOf(err), want)
		}
		if err != nil && strings.Contains(err.Error(), parts[2]) {
			t.Errorf("%s: the refusal tells the signature", name)
		}
	}
	for name, token := range map[string]string{
		"just expired, within the leeway": hs256(t, with("exp", now.Add(-5*time.Second).Unix())),
		"the other audience":              hs256(t, with("aud", []string{"x", "other"})),
		"without subject":                 hs256(t, with("sub", nil)),
	} {
		if _, err := g.Identify(t.Context(), token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWeakAndBrokenKeysAreRefusedAtStart(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(p384)
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"a short secret":     {SecretFile: write(t, "s", "short")},
		"no PEM":             {PEMFile: write(t, "p", "hello")},
		"a small RSA key":    {PEMFile: write(t, "p", pemOf(t, small.Public()))},
		"another curve":      {PEMFile: write(t, "p", pemOf(t, p384.Public()))},
		"a private key":      {PEMFile: write(t, "p", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))},
		"no set":             {JWKSFile: write(t, "j", "[]")},
		"an empty set":       {JWKSFile: write(t, "j", `{"keys":[]}`)},
		"unfit keys only":    {JWKSFile: write(t, "j", `{"keys":[{"kty":"EC","crv":"P-384"},{"kty":"OKP","crv":"X25519","x":"AA"},7]}`)},
		"a missing file":     {PolicyFile: filepath.Join(t.TempDir(), "none")},
		"a mistyped policy":  {PolicyFile: write(t, "y", "anonymus: {}\n")},
		"a bad pattern":      {PolicyFile: write(t, "y", "anonymous:\n  join: [room]\n")},
		"own of nobody":      {PolicyFile: write(t, "y", "anonymous:\n  publish: [/a]\n  recall: own\n")},
		"a short API key":    {APIKeysFile: write(t, "y", "keys:\n- name: a\n  sha256: abcd\n")},
		"a nameless API key": {APIKeysFile: write(t, "y", "keys:\n- sha256: "+strings.Repeat("0", 64)+"\n")},
		"a list":             {APIKeysFile: write(t, "y", "- name: a\n")},
		"a name twice":       {APIKeysFile: write(t, "y", "keys:\n"+strings.Repeat("- name: a\n  sha256: "+strings.Repeat("0", 64)+"\n", 2))},
		"no service token":   {ServiceTokenFile: write(t, "t", "\n")},
		"a short one":        {ServiceTokenFile: write(t, "t", "short\n")},
	} {
		_, err := New(cfg, slog.New(slog.DiscardHandler))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if !strings.HasPrefix(err.Error(), "-") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q, want one line that begins with the flag", name, err)
		}
	}
}

func TestEachFileThatCannotBeUsedIsNamed(t *testing.T) {
	cfg := Config{
		SecretFile:       write(t, "s", "a secret of thirty-two bytes, or more"),
		APIKeysFile:      filepath.Join(t.TempDir(), "none"),
		PolicyFile:       write(t, "y", "anonymus: {}\n"),
		ServiceTokenFile: write(t, "t", "short\n"),
	}
	var got []string
	cfg.CheckFiles(func(err error) {
		flagName, _, _ := strings.Cut(err.Error(), ":")
		got = append(got, flagName)
	})
	if diff := cmp.Diff([]string{"-auth-api-keys-file", "-auth-policy-file", "-service-token-file"}, got); diff != "" {
		t.Errorf("flags of files that cannot be used (-want +got):\n%s", diff)
	}
}

func TestWithoutSettingsEverythingIsOpenButAdministration(t *testing.T) {
	g := newGuard(t, Config{})
	for _, credential := range []string{"", "anything", "gotapi_x"} {
		id, err := g.Identify(t.Context(), credential)
		if err != nil || !g.Open() {
			t.Fatalf("%q: %v", credential, err)
		}
		for _, a := range []Action{Join, Publish, Read} {
			if err := id.May(a, "/any/group/"); err != nil {
				t.Errorf("%q: %v", credential, err)
			}
		}
		if id.MayAdminister() == nil || id.May(Admin, "/any/group/") == nil {
			t.Error("everyone may administer")
		}
		if id.Author() != nil {
			t.Error("authors are kept although nobody asks for them")
		}
	}
}

func TestRightsOfAClaimOfThePolicyAndOfNobody(t *testing.T) {
	policy := write(t, "policy.yaml", `
anonymous:
  join: [/public/*]
  read: [/public/*]
authenticated:
  join: [/public/*, /user/$sub/**]
`)
	g := newGuard(t, Config{SecretFile: write(t, "s", secret), PolicyFile: policy, Claim: "https://example.com/chat"})
	may := func(credential string, a Action, name group.Name) bool {
		t.Helper()
		id, err := g.Identify(t.Context(), credential)
		if err != nil {
			t.Fatal(err)
		}
		return id.May(a, name) == nil
	}
	plain := hs256(t, nil)
	rights := hs256(t, jwt.MapClaims{"https://example.com/chat": map[string]any{"publish": []string{"/room/*"}}})
	for _, tt := range []struct {
		who        string
		credential string
		action     Action
		name       group.Name
		want       bool
	}{
		{"nobody", "", Join, "/public/1", true},
		{"nobody", "", Read, "/public/1", true},
		{"nobody", "", Publish, "/public/1", false},
		{"nobody", "", Join, "/user/alice/x", false},
		{"no claim", plain, Join, "/user/alice/x", true},
		{"no claim", plain, Join, "/user/bob/x", false},
		{"no claim", plain, Read, "/public/1", false},
		{"claim", rights, Publish, "/room/1", true},
		{"claim", rights, Join, "/public/1", false}, // the claim takes the place of the policy
	} {
		if got := may(tt.credential, tt.action, tt.name); got != tt.want {
			t.Errorf("%s: action %d in %s: %v, want %v", tt.who, tt.action, tt.name, got, tt.want)
		}
	}
}

func TestAPIKeys(t *testing.T) {
	key, entry := NewAPIKey("billing")
	old, oldEntry := NewAPIKey("old")
	_, oldEntry, _ = strings.Cut(strings.ReplaceAll(oldEntry, "# expires: 2030", "expires: 2020"), "keys:\n")
	g := newGuard(t, Config{APIKeysFile: write(t, "keys.yaml", entry+oldEntry)})
	id, err := g.Identify(t.Context(), key)
	if err != nil || id.Name() != "billing" {
		t.Fatalf("%v, %v", id, err)
	}
	if id.May(Publish, "/room/1") != nil || id.May(Join, "/room/1") == nil {
		t.Error("another set of rights than the entry's")
	}
	_, err = g.Identify(t.Context(), old)
	wantRefusal(t, "an expired key", err, 401)
	_, err = g.Identify(t.Context(), key+"x")
	wantRefusal(t, "a longer key", err, 401)
	_, err = g.Identify(t.Context(), "gotapi_")
	wantRefusal(t, "no key", err, 401)
	id, err = g.Identify(t.Context(), "")
	if err != nil || id.May(Read, "/room/1") == nil {
		t.Errorf("without a key: %v, or rights", err)
	}
}

func TestServiceTokens(t *testing.T) {
	g := newGuard(t, Config{ServiceTokenFile: write(t, "t", "the-first-token-is-shown\nthe-second-is-accepted\n")})
	if got := g.ServiceToken(); got != "the-first-token-is-shown" {
		t.Errorf("shown: %q", got)
	}
	for token, want := range map[string]bool{
		"the-first-token-is-shown": true, "the-second-is-accepted": true, "the-first-token": false, "": false,
	} {
		id := g.Service(token)
		if (id != nil) != want {
			t.Errorf("%q: %v, want %v", token, id != nil, want)
		}
		if id != nil && id.May(Admin, "/any") != nil {
			t.Errorf("%q: a service may not do everything", token)
		}
	}
	if newGuard(t, Config{}).Service("") != nil {
		t.Error("nobody is a service where there are no tokens")
	}
}

func TestChangedFilesTakeEffectAndBrokenOnesDoNot(t *testing.T) {
	path := write(t, "secret", secret)
	policy := write(t, "policy.yaml", "anonymous: {join: [/a]}\n")
	g := newGuard(t, Config{SecretFile: path, PolicyFile: policy})
	token := hs256(t, nil)
	rewrite := func(path, content string) error {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return g.Reload()
	}
	identify := func() error {
		_, err := g.Identify(t.Context(), token)
		return err
	}
	if err := identify(); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(path, "short"); err == nil {
		t.Error("a broken file is no error")
	}
	if err := identify(); err != nil {
		t.Errorf("after a broken file: %v", err)
	}
	if err := rewrite(path, strings.ToUpper(secret)); err != nil {
		t.Fatal(err)
	}
	// The token was verified before: that is not remembered.
	wantRefusal(t, "after the secret has changed", identify(), 401)
	if err := rewrite(policy, "anonymous: {join: [/b]}\n"); err != nil {
		t.Fatal(err)
	}
	id, err := g.Identify(t.Context(), "")
	if err != nil || id.May(Join, "/b") != nil || id.May(Join, "/a") == nil {
		t.Errorf("the policy is still the one before (%v)", err)
	}
}

func TestAVerifiedTokenExpiresAllTheSame(t *testing.T) {
	g := newGuard(t, Config{SecretFile: write(t, "s", secret), Leeway: 0})
	var c cache
	id := &Identity{expires: time.Now().Add(-time.Second)}
	c.put([32]byte{1}, id, 0)
	if got, _ := c.get([32]byte{1}, time.Now()); got != nil {
		t.Error("an expired identity comes out of the cache")
	}
	token := hs256(t, nil)
	one, err1 := g.Identify(t.Context(), token)
	two, err2 := g.Identify(t.Context(), token)
	if err1 != nil || err2 != nil || one != two {
		t.Errorf("a token is verified twice: %v, %v", err1, err2)
	}
	g.tokens.clear()
	if three, _ := g.Identify(t.Context(), token); three == one {
		t.Error("what was cleared is still there")
	}
}

func TestTheCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	var c cache
	now := time.Now()
	id := &Identity{expires: now.Add(time.Hour)}
	hash := func(i int) (h [32]byte) {
		copy(h[:], fmt.Sprint(i))
		return h
	}
	for i := range 3 * cacheSize {
		c.put(hash(i), id, 0)
		if got, _ := c.get(hash(0), now); got == nil {
			t.Fatalf("what is used is forgotten after %d others", i)
		}
	}
	if n := len(c.fresh) + len(c.stale); n > 2*cacheSize {
		t.Errorf("%d tokens are remembered", n)
	}
	c.clear()
	c.put(hash(1), id, 0) // it was verified before
	if got, _ := c.get(hash(1), now); got != nil {
		t.Error("a token that was verified with old keys is remembered")
	}
}

func FuzzIdentify(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "s")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		f.Fatal(err)
	}
	g, err := New(Config{SecretFile: path, Claim: "gotapi"}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a.b.c")
	f.Add("gotapi_x")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("eyJhbGciOiJIUzI1NiIsImtpZCI6Ing..x")
	f.Fuzz(func(t *testing.T, credential string) {
		if id, err := g.Identify(context.Background(), credential); err == nil && id.known {
			t.Errorf("%q is accepted", credential)
		}
	})
}

func TestTokensWithCriticalHeadersAreRefused(t *testing.T) {
	g := newGuard(t, Config{SecretFile: write(t, "secret", secret)})
	for name, crit := range map[string]any{
		"unencoded payload": []string{"b64"},
		"an extension":      []string{"exp", "http://example.com/policy"},
		"empty":             []string{},
		"of the wrong type": "b64",
		"null":              nil,
	} {
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()})
		token.Header["crit"], token.Header["b64"] = crit, true
		signed, err := token.SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.Identify(t.Context(), signed)
		wantRefusal(t, "crit: "+name, err, 401)
	}
}

func TestSecretsOfTokensAreOneALine(t *testing.T) {
	const other = "another secret of more than 32 bytes"
	g := newGuard(t, Config{SecretFile: write(t, "secret", other+"\n"+secret+"\n")})
	for _, key := range []string{secret, other} {
		if _, err := g.Identify(t.Context(), signed(t, jwt.SigningMethodHS256, []byte(key), "", nil)); err != nil {
			t.Errorf("a token signed with %q: %v", key, err)
		}
	}
	_, err := g.Identify(t.Context(), signed(t, jwt.SigningMethodHS256, []byte(other+"\n"+secret), "", nil))
	wantRefusal(t, "a token signed with both lines", err, 401)
	if _, err := New(Config{SecretFile: write(t, "secret", secret+"\nweak\n"), Claim: "gotapi"}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a second line that is too short is taken")
	}
}
