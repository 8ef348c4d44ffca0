package access

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/gotapi/gotapi-ws/internal/secretfile"
)

const (
	// minSecretBytes is the minimum of RFC 7518 for HS256.
	minSecretBytes = 32
	minRSABits     = 2048
	// maxKeys bounds what one source may bring, and so the tries for one token.
	maxKeys = 64
)

// The algorithms of tokens. Each kind of key has exactly one, whatever the
// token's header says.
var algorithms = []string{
	jwt.SigningMethodHS256.Alg(), jwt.SigningMethodRS256.Alg(), jwt.SigningMethodES256.Alg(), jwt.SigningMethodEdDSA.Alg(),
}

// key verifies tokens.
type key struct {
	// "" is any.
	id  string
	alg string
	// []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey.
	material any
}

// newKey finds the algorithm of a key.
func newKey(id string, material any) (key, error) {
	k := key{id: id, material: material}
	switch m := material.(type) {
	case []byte:
		if len(m) < minSecretBytes {
			return key{}, fmt.Errorf("the secret has %d bytes: use at least %d", len(m), minSecretBytes)
		}
		k.alg = jwt.SigningMethodHS256.Alg()
	case *rsa.PublicKey:
		if m.N.BitLen() < minRSABits {
			return key{}, fmt.Errorf("the RSA key has %d bits: use at least %d", m.N.BitLen(), minRSABits)
		}
		k.alg = jwt.SigningMethodRS256.Alg()
	case *ecdsa.PublicKey:
		if m.Curve != elliptic.P256() {
			return key{}, errors.New("unsupported elliptic curve: use P-256")
		}
		k.alg = jwt.SigningMethodES256.Alg()
	case ed25519.PublicKey:
		k.alg = jwt.SigningMethodEdDSA.Alg()
	default:
		return key{}, fmt.Errorf("unsupported type of key %T", material)
	}
	return k, nil
}

// keyring is all keys that are known.
type keyring []key

// candidates are the keys that a token of that header may have been signed with.
func (r keyring) candidates(alg, id string) (found []jwt.VerificationKey) {
	for i := range r {
		k := &r[i]
		if k.alg == alg && (k.id == id || k.id == "" || id == "") {
			found = append(found, k.material)
		}
	}
	return found
}

// has reports whether r has a key of that id.
func (r keyring) has(id string) bool {
	return slices.ContainsFunc(r, func(k key) bool { return k.id == id })
}

// parseSecrets reads a file that holds secrets, one a line.
func parseSecrets(b []byte) (keyring, error) {
	var ring keyring
	for _, secret := range secretfile.Lines(b) {
		k, err := newKey("", bytes.Clone(secret))
		if err != nil {
			return nil, err
		}
		ring = append(ring, k)
	}
	return ring, ring.check()
}

// parsePEM reads public keys and certificates, one after another.
func parsePEM(b []byte) (keyring, error) { return parseBlocks(b, publicKey) }

// parseBlocks makes a public key of each PEM block; nil passes a block over.
func parseBlocks(b []byte, public func(*pem.Block) (any, error)) (keyring, error) {
	var ring keyring
	for {
		block, rest := pem.Decode(b)
		if block == nil {
			break
		}
		material, err := public(block)
		if err != nil {
			return nil, err
		}
		if material == nil {
			b = rest
			continue
		}
		k, err := newKey("", material)
		if err != nil {
			return nil, err
		}
		ring, b = append(ring, k), rest
	}
	return ring, ring.check()
}

func (r keyring) check() error {
	switch {
	case len(r) == 0:
		return errors.New("no usable key")
	case len(r) > maxKeys:
		return fmt.Errorf("%d keys: at most %d are allowed", len(r), maxKeys)
	}
	return nil
}

func publicKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	}
	return nil, fmt.Errorf("PEM block %q: want PUBLIC KEY or CERTIFICATE", block.Type)
}

// parseJWKS reads a JSON Web Key Set (RFC 7517). Keys that are not for
// signatures, or of kinds that are not supported, are passed over. Secrets (kty
// "oct") are taken only from sources that are secret themselves.
func parseJWKS(b []byte, secret bool) (keyring, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("not a JSON Web Key Set: %w", err)
	}
	var ring keyring
	for _, raw := range set.Keys {
		if k, ok := parseJWK(raw, secret); ok {
			ring = append(ring, k)
		}
	}
	return ring, ring.check()
}

func parseJWK(raw json.RawMessage, secret bool) (key, bool) {
	j, err := jwkset.NewJWKFromRawJSON(raw, jwkset.JWKMarshalOptions{Private: secret}, jwkset.JWKValidateOptions{})
	if err != nil {
		return key{}, false
	}
	about := j.Marshal()
	if about.USE != "" && about.USE != jwkset.UseSig {
		return key{}, false
	}
	if len(about.KEYOPS) > 0 && !slices.Contains(about.KEYOPS, jwkset.KeyOpsVerify) && !slices.Contains(about.KEYOPS, jwkset.KeyOpsSign) {
		return key{}, false
	}
	material := j.Key()
	if private, ok := material.(interface{ Public() crypto.PublicKey }); ok {
		material = private.Public()
	}
	k, err := newKey(about.KID, material)
	return k, err == nil && (about.ALG == "" || about.ALG.String() == k.alg)
}
