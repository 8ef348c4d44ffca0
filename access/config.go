package access

import (
	"flag"
	"net/url"
	"strings"
	"time"
)

// Config are the settings of an Authorizer. The zero Config is open.
type Config struct {
	// Files with keys of tokens: a secret (HS256), public keys or certificates in
	// PEM (RS256, ES256, EdDSA by the kind of key), a JSON Web Key Set.
	SecretFile, PEMFile, JWKSFile string
	// A JSON Web Key Set behind a URL, and how often it is fetched.
	JWKSURL     string
	JWKSRefresh time.Duration
	// How old its keys may be while it cannot be fetched; 0: of any age.
	JWKSMaxAge time.Duration
	// File with the authorities, PEM, that must have issued its certificate; "": the
	// machine's.
	JWKSCA string
	// Required iss and aud of tokens; "" is not checked. Audience is comma-separated; one
	// of its values is enough.
	Issuer, Audience string
	// How much clocks may differ.
	Leeway time.Duration
	// The claim that holds the rights.
	Claim string

	// Files with API keys, and with what those may do whose credential does not say it.
	APIKeysFile, PolicyFile string
	// The cookie that may carry a token; "": none.
	Cookie string
	// How long ordinary users may recall a message; 0: always.
	RecallWindow time.Duration
	// The file with the tokens by which our services know each other, one a line:
	// the first is shown, all are accepted.
	ServiceTokenFile string

	// Not a flag.

	// Instead of ServiceTokenFile.
	ServiceToken string
}

// Defaults of settings.
const (
	DefaultClaim  = "gotapi"
	DefaultLeeway = 30 * time.Second
)

// RegisterFlags defines the flags, with their defaults.
func (c *Config) RegisterFlags(fs *flag.FlagSet) {
	fs.StringVar(&c.SecretFile, "auth-secret-file", "", "`path` of a file with the secret of tokens signed with HS256, at least 32 bytes;\nto rotate it, put the old and the new secret on a line each")
	fs.StringVar(&c.PEMFile, "auth-keys-file", "", "`path` of a PEM file with public keys or certificates for tokens signed with RS256, ES256 or EdDSA")
	fs.StringVar(&c.JWKSFile, "auth-jwks-file", "", "`path` of a JSON Web Key Set with the keys of tokens")
	fs.StringVar(&c.JWKSURL, "auth-jwks-url", "", "`URL` of a JSON Web Key Set with the keys of tokens")
	fs.DurationVar(&c.JWKSRefresh, "auth-jwks-refresh", 5*time.Minute, "how often to fetch -auth-jwks-url; a token that names an unknown key causes a fetch, too")
	fs.DurationVar(&c.JWKSMaxAge, "auth-jwks-max-age", 24*time.Hour,
		"how `long` to accept the keys of -auth-jwks-url while fetching it fails or yields no keys; 0s: no limit")
	fs.StringVar(&c.JWKSCA, "auth-jwks-ca", "", "`path` of a PEM file with the CAs of the certificate of -auth-jwks-url; if unset, the system's CAs")
	fs.StringVar(&c.Issuer, "auth-issuer", "", "`iss` that tokens must have; if unset, not checked")
	fs.StringVar(&c.Audience, "auth-audience", "", "comma-separated `aud` values, of which tokens must have one; if unset, not checked")
	fs.DurationVar(&c.Leeway, "auth-leeway", DefaultLeeway, "maximum difference between this clock and those of token issuers")
	fs.StringVar(&c.Claim, "auth-claim", DefaultClaim, "`claim` of tokens that holds the rights")
	fs.StringVar(&c.APIKeysFile, "auth-api-keys-file", "", "`path` of a YAML file with the API keys of backends; the command api-key makes entries for it")
	fs.StringVar(&c.PolicyFile, "auth-policy-file", "", "`path` of a YAML file with the rights of callers without a token, or whose token does not name any")
	fs.StringVar(&c.Cookie, "auth-cookie", "", "`name` of a cookie that may carry the token; if unset, cookies are ignored")
	fs.DurationVar(&c.RecallWindow, "recall-window", 0, "how `long` after publishing ordinary users may recall a message; 0s: no limit")
	fs.StringVar(&c.ServiceTokenFile, "service-token-file", "", "`path` of a file with the token by which edges and history services know each other;\ntokens on further lines are accepted, too")
}

// Shared reports whether a flag of that name is one of RegisterFlags: programs of
// several services have it once.
func Shared(flagName string) bool {
	return strings.HasPrefix(flagName, "auth-") || flagName == "recall-window" || flagName == "service-token-file"
}

// Checks reports whether access is checked.
func (c *Config) Checks() bool {
	return c.tokens() || c.APIKeysFile != "" || c.PolicyFile != ""
}

// tokens reports whether there are keys of tokens.
func (c *Config) tokens() bool {
	return c.SecretFile != "" || c.PEMFile != "" || c.JWKSFile != "" || c.JWKSURL != ""
}

// HasServiceToken reports whether our services know each other by a token.
func (c *Config) HasServiceToken() bool { return c.ServiceTokenFile != "" || c.ServiceToken != "" }

// Check calls check for each rule that settings must keep.
func (c *Config) Check(check func(ok bool, format string, args ...any)) {
	check(c.JWKSURL == "" || isURL(c.JWKSURL), "-auth-jwks-url: not a URL such as https://example.com/jwks.json")
	check(c.JWKSURL == "" || c.JWKSRefresh >= time.Second, "-auth-jwks-refresh: less than 1s")
	check(c.JWKSURL == "" || c.JWKSMaxAge == 0 || c.JWKSMaxAge >= c.JWKSRefresh, "-auth-jwks-max-age: less than -auth-jwks-refresh")
	check(c.JWKSCA == "" || strings.HasPrefix(c.JWKSURL, "https://"), "-auth-jwks-ca needs a -auth-jwks-url that begins with https://")
	check(c.Leeway >= 0 && c.Leeway <= 10*time.Minute, "-auth-leeway: not from 0s to 10m")
	check(!c.tokens() || c.Claim != "", "-auth-claim: empty")
	check(c.RecallWindow >= 0, "-recall-window: negative")
	check(c.RecallWindow == 0 || c.RecallWindow >= time.Second, "-recall-window: less than 1s")
	check(c.tokens() || c.Issuer == "" && c.Audience == "",
		"-auth-issuer and -auth-audience need keys of tokens, as in -auth-secret-file")
	check(c.Cookie == "" || c.Checks(), "-auth-cookie needs a setting that checks access, such as -auth-secret-file")
}

// CheckFiles calls wrong for each file that cannot be used.
func (c *Config) CheckFiles(wrong func(error)) {
	for _, f := range c.files(new(state)) {
		b, err := f.read()
		if err == nil {
			err = f.use(b)
		}
		if err != nil {
			wrong(err)
		}
	}
}

// SecretFiles returns the paths of the files that hold secrets.
func (c *Config) SecretFiles() []string {
	return []string{c.SecretFile, c.JWKSFile, c.ServiceTokenFile}
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// rules are what a token must say.
func (c *Config) rules() tokenRules {
	return tokenRules{issuer: c.Issuer, audience: c.audiences(), leeway: c.Leeway, claim: c.Claim}
}

// audiences are those of Audience.
func (c *Config) audiences() []string {
	var all []string
	for a := range strings.SplitSeq(c.Audience, ",") {
		if a = strings.TrimSpace(a); a != "" {
			all = append(all, a)
		}
	}
	return all
}
