package access

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Token is the content of a token, and a server's verdict on it.
type Token struct {
	Header, Claims map[string]any
	// Zero if the token does not say it.
	Issued, NotBefore, Expires time.Time
	// Grant has the rights; nil: the token has none, or none that a server understands.
	Grant     *Grant
	Signature Signature
	// Refused is why a server refuses the token, a *DeniedError; nil: it does not.
	Refused error
}

// Signature is the state of a token's signature.
type Signature string

// The states of a Signature.
const (
	Unchecked Signature = "unchecked"
	Valid     Signature = "valid"
	Invalid   Signature = "invalid"
)

// Explain reads a token as a server with these settings does, but for its keys: they are
// keys; nil: the signature is not checked. Its error is a *DeniedError: this is no token.
func (c *Config) Explain(token string, keys *Keys) (*Token, error) {
	rules := c.rules()
	switch {
	case isAPIKey(token):
		return nil, denyToken(BadToken, "this is an API key: what it may do is written in the server's -auth-api-keys-file")
	case len(token) > maxTokenBytes:
		return nil, errTooLong
	}
	parser, claims := rules.parser(), jwt.MapClaims{}
	parsed, _, err := parser.ParseUnverified(token, claims)
	if err != nil {
		return nil, rules.refusal(claims, err)
	}
	said := &Token{
		Header: parsed.Header, Claims: claims, Signature: Unchecked,
		Issued: timeIn(claims.GetIssuedAt()), NotBefore: timeIn(claims.GetNotBefore()), Expires: timeIn(claims.GetExpirationTime()),
	}
	said.Grant, _ = rules.grant(claims, nil) // identity says what is wrong with it
	if keys == nil {
		if err = rules.checkClaims(parsed, claims); errors.Is(err, jwt.ErrTokenSignatureInvalid) {
			said.Signature = Invalid
		}
	} else {
		_, err = rules.verify(parser, keys.ring, token)
		said.Signature = signatureOf(err)
	}
	if said.Refused = rules.refusal(claims, err); said.Refused == nil {
		_, said.Refused = rules.identity(claims, &Grant{}, 0)
	}
	return said, nil
}

// Rights returns the rights of Grant by pattern. A pattern with $sub has none if the
// token's subject cannot replace it.
func (t *Token) Rights() []PatternRights {
	all := t.Grant.ByPattern()
	subject, _ := jwt.MapClaims(t.Claims).GetSubject()
	for i := range all {
		if _, err := compile(all[i].Pattern, subject); errors.Is(err, errNobody) {
			all[i].Rights = []string{}
		}
	}
	return all
}

// signatureOf is what the error of verify tells of the signature.
func signatureOf(err error) Signature {
	switch {
	case err == nil, errors.Is(err, jwt.ErrTokenInvalidClaims):
		return Valid
	case errors.Is(err, errCritical):
		return Unchecked
	}
	return Invalid
}

// checkClaims is verify without keys.
func (r *tokenRules) checkClaims(token *jwt.Token, claims jwt.MapClaims) error {
	if !slices.Contains(algorithms, token.Method.Alg()) {
		return jwt.ErrTokenSignatureInvalid // whatever the keys are
	}
	if _, ok := token.Header["crit"]; ok {
		return errCritical
	}
	if err := jwt.NewValidator(r.options()...).Validate(claims); err != nil {
		return fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, err)
	}
	return nil
}

func timeIn(t *jwt.NumericDate, err error) time.Time {
	if err != nil || t == nil {
		return time.Time{}
	}
	return t.Time
}
