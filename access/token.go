package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxTokenBytes bounds a token; a longer one is not even read.
	maxTokenBytes = 8 << 10
	// maxNameBytes bounds subjects and names of API keys.
	maxNameBytes = 256
)

// tokenRules are what a token must say.
type tokenRules struct {
	issuer   string
	audience []string
	leeway   time.Duration
	// The name of the claim with the Grant.
	claim string
}

func (r *tokenRules) parser() *jwt.Parser { return jwt.NewParser(r.options()...) }

func (r *tokenRules) options() []jwt.ParserOption {
	opts := []jwt.ParserOption{
		jwt.WithValidMethods(algorithms), jwt.WithExpirationRequired(), jwt.WithLeeway(r.leeway), jwt.WithStrictDecoding(),
	}
	if r.issuer != "" {
		opts = append(opts, jwt.WithIssuer(r.issuer))
	}
	if len(r.audience) > 0 {
		opts = append(opts, jwt.WithAudience(r.audience...))
	}
	return opts
}

var (
	// errNoKey: the token names a key that is not known, or there is none of its kind.
	errNoKey = errors.New("no key for this token")
	// errCritical: the token has a header that changes what it means, and must be
	// refused by servers that do not know it (RFC 7515, section 4.1.11).
	errCritical = errors.New("the token has critical headers")

	errTooLong = denyToken(BadToken, "the token is too long")
)

// verify checks a token against keys and returns what it says.
func (r *tokenRules) verify(parser *jwt.Parser, ring keyring, token string) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	_, err := parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok {
			return nil, errCritical
		}
		id, _ := t.Header["kid"].(string)
		keys := ring.candidates(t.Method.Alg(), id)
		if len(keys) == 0 {
			return nil, errNoKey
		}
		return jwt.VerificationKeySet{Keys: keys}, nil
	})
	return claims, err
}

// identity makes the caller of the claims of a verified token. A token without
// the claim has the rights of byDefault. Its error is a *DeniedError.
func (r *tokenRules) identity(claims jwt.MapClaims, byDefault *Grant, window time.Duration) (*Identity, error) {
	id, err := r.use(claims, byDefault, window)
	if err != nil {
		return nil, denyToken(BadToken, "the token's claims cannot be used: "+err.Error())
	}
	return id, nil
}

func (r *tokenRules) use(claims jwt.MapClaims, byDefault *Grant, window time.Duration) (*Identity, error) {
	subject, err := claims.GetSubject()
	if err != nil || len(subject) > maxNameBytes {
		return nil, errors.New("sub is not a string of at most 256 bytes")
	}
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil {
		return nil, errors.New("exp is not a time")
	}
	grant, err := r.grant(claims, byDefault)
	if err != nil {
		return nil, err
	}
	rights, err := grant.compile(subject)
	if err != nil {
		return nil, err
	}
	return &Identity{
		name: subject, known: true, rights: rights, author: authorOf("user", subject),
		expires: expires.Add(r.leeway), window: window,
	}, nil
}

// grant reads the claim. What it has that this version does not know gives no rights.
func (r *tokenRules) grant(claims jwt.MapClaims, byDefault *Grant) (*Grant, error) {
	value, ok := claims[r.claim]
	if !ok {
		return byDefault, nil
	}
	b, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	grant := new(Grant)
	if err := json.Unmarshal(b, grant); err != nil {
		// The caller may see this: not what our decoder calls things.
		return nil, fmt.Errorf("claim %s: not the rights that docs/security.md describes", r.claim)
	}
	return grant, nil
}

func denyToken(reason Reason, msg string) error {
	return &DeniedError{Status: http.StatusUnauthorized, Reason: reason, Msg: msg}
}

// refusal says what is wrong with a token that verify has refused, and which claim it is.
// It does not say what would be right: a token for another server may be a stranger's. It
// returns a *DeniedError, or nil without an error.
func (r *tokenRules) refusal(claims jwt.MapClaims, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrTokenInvalidClaims): // only after the signature was found right
		return r.wrongClaim(claims, err)
	case errors.Is(err, errCritical):
		return denyToken(BadToken, "the token has critical headers, none of which is supported")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, errNoKey):
		return denyToken(BadSignature, "the token is signed with another key, or its alg is none of HS256, RS256, ES256 and EdDSA")
	case errors.Is(err, jwt.ErrTokenMalformed):
		return denyToken(BadToken, "the token is neither a JSON Web Token nor an API key")
	}
	return denyToken(BadToken, "the token is not valid")
}

// wrongClaim names the first claim that is wrong.
func (r *tokenRules) wrongClaim(claims jwt.MapClaims, err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return denyToken(ExpiredToken, "the token has expired: exp is "+timeOf(claims.GetExpirationTime()))
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return denyToken(BadToken, "the token is not valid yet: nbf is "+timeOf(claims.GetNotBefore()))
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return denyToken(BadToken, "the token is not for this server: aud does not name it")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return denyToken(BadToken, "the token is not for this server: iss is another issuer")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return denyToken(BadToken, "the token lacks the claim "+r.missing(claims))
	}
	return denyToken(BadToken, "exp, nbf, iss or aud of the token is of a wrong type")
}

// missing names the first claim that must be there and is not.
func (r *tokenRules) missing(claims jwt.MapClaims) string {
	if exp, _ := claims.GetExpirationTime(); exp == nil {
		return "exp"
	}
	if iss, _ := claims.GetIssuer(); iss == "" && r.issuer != "" {
		return "iss"
	}
	return "aud"
}

// timeOf is a time that verify has read before.
func timeOf(t *jwt.NumericDate, _ error) string { return t.UTC().Format(time.RFC3339) }
