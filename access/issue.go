package access

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gotapi/gotapi-ws/internal/secretfile"
)

// Keys are keys of tokens for programs other than servers: they sign tokens, and explain
// those of others.
type Keys struct {
	ring keyring
	// Has the secret or private key that signs; the zero key if all keys are public.
	signer key
}

// ParseSecret reads what -auth-secret-file holds. The first secret signs.
func ParseSecret(file []byte) (*Keys, error) {
	if err := secretfile.Check(file); err != nil {
		return nil, err
	}
	ring, err := parseSecrets(file)
	if err != nil {
		return nil, err
	}
	return &Keys{ring: ring, signer: ring[0]}, nil
}

// ParsePEM reads private keys, public keys and certificates, PEM. The first private key
// signs.
func ParsePEM(file []byte) (*Keys, error) {
	if err := secretfile.Check(file); err != nil {
		return nil, err
	}
	keys := new(Keys)
	var err error
	keys.ring, err = parseBlocks(file, func(block *pem.Block) (any, error) {
		private, err := privateKey(block)
		switch {
		case err != nil:
			return nil, err
		case block.Type == "EC PARAMETERS": // OpenSSL writes them before the key
			return nil, nil
		case private == nil:
			return publicKey(block)
		}
		k, err := newKey("", private.Public())
		if err == nil && keys.signer.material == nil {
			keys.signer = key{alg: k.alg, material: private}
		}
		return k.material, err
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// privateKey returns nil for a block that is no private key.
func privateKey(block *pem.Block) (crypto.Signer, error) {
	switch block.Type {
	case "PRIVATE KEY":
		k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		signer, ok := k.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("cannot sign with a key of type %T", k)
		}
		return signer, nil
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("the private key is encrypted: decrypt it with openssl pkey -in FILE")
	}
	return nil, nil
}

// Claims are what a new token says.
type Claims struct {
	Subject, Issuer string
	Audience        []string
	Expires         time.Time
	// nil: the token says nothing of rights, so that the server's policy decides.
	Grant *Grant
}

// Issue makes a token for a server whose -auth-claim is claim. A token that every server
// would refuse is an error.
func (k *Keys) Issue(c *Claims, claim string) (string, error) {
	if k.signer.material == nil {
		return "", errors.New("cannot sign with a public key: use a private key")
	}
	if err := c.areText(); err != nil {
		return "", err
	}
	if err := c.Grant.fits(c.Subject); err != nil {
		return "", err
	}
	all := jwt.MapClaims{"iat": time.Now().Unix(), "exp": c.Expires.Unix()}
	if c.Subject != "" {
		all["sub"] = c.Subject
	}
	if c.Issuer != "" {
		all["iss"] = c.Issuer
	}
	switch len(c.Audience) {
	case 0:
	case 1:
		all["aud"] = c.Audience[0]
	default:
		all["aud"] = c.Audience
	}
	if c.Grant != nil {
		all[claim] = c.Grant
	}
	token, err := jwt.NewWithClaims(jwt.GetSigningMethod(k.signer.alg), all).SignedString(k.signer.material)
	if err != nil {
		return "", fmt.Errorf("sign the token: %w", err)
	}
	if len(token) > maxTokenBytes {
		return "", fmt.Errorf("the token has %d bytes: servers accept at most %d", len(token), maxTokenBytes)
	}
	said, err := (&Config{Claim: claim}).Explain(token, k)
	if err != nil {
		return "", err
	}
	return token, said.Refused
}

// areText returns an error for a claim that JSON would change, so that it names another.
func (c *Claims) areText() error {
	for name, texts := range map[string][]string{"sub": {c.Subject}, "iss": {c.Issuer}, "aud": c.Audience} {
		for _, text := range texts {
			if !utf8.ValidString(text) {
				return fmt.Errorf("%s is not valid UTF-8", name)
			}
		}
	}
	return nil
}

// fits returns an error if a pattern is wrong, or matches nothing for a subject.
func (g *Grant) fits(subject string) error {
	if g == nil {
		return nil
	}
	if err := g.ActAs.check(); err != nil {
		return err
	}
	for _, patterns := range g.lists() {
		for _, text := range patterns {
			_, err := compile(text, subject)
			if errors.Is(err, errNobody) {
				return fmt.Errorf("pattern %q: %s needs a subject, without a slash", text, Subject)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
