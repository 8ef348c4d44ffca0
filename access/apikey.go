package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	// keyPrefix tells API keys from tokens, and lets scanners of source code find
	// keys that leaked.
	keyPrefix = "gotapi_"
	// maxAPIKeys bounds the comparisons for one request.
	maxAPIKeys = 256
)

// apiKey is one key of a backend, as its file has it. Only the SHA-256 of the key
// is kept: that is enough for a key that is random.
type apiKey struct {
	Name    string    `json:"name"`
	SHA256  string    `json:"sha256"`
	Expires time.Time `json:"expires,omitzero"`
	Grant
}

// apiKeys are the keys of one file, ready for use.
type apiKeys []hashedKey

type hashedKey struct {
	hash     [sha256.Size]byte
	identity *Identity
}

// parseAPIKeys reads the file of API keys: YAML, a list under "keys".
func parseAPIKeys(b []byte) (apiKeys, error) {
	var file struct {
		Keys []apiKey `json:"keys"`
	}
	if err := decodeYAML(b, &file); err != nil {
		return nil, err
	}
	if len(file.Keys) > maxAPIKeys {
		return nil, fmt.Errorf("%d keys: at most %d are allowed", len(file.Keys), maxAPIKeys)
	}
	names := make(map[string]bool)
	all := make(apiKeys, len(file.Keys))
	for i := range file.Keys {
		k := &file.Keys[i]
		if k.Name == "" || len(k.Name) > maxNameBytes || names[k.Name] {
			return nil, fmt.Errorf("key %d: the name %q is missing, too long or taken", i+1, k.Name)
		}
		names[k.Name] = true
		if err := all[i].fill(k); err != nil {
			return nil, fmt.Errorf("key %q: %w", k.Name, err)
		}
	}
	return all, nil
}

func (r *hashedKey) fill(k *apiKey) error {
	hash, err := hex.DecodeString(k.SHA256)
	if err != nil || len(hash) != sha256.Size {
		return errors.New("sha256: want 64 hexadecimal digits")
	}
	copy(r.hash[:], hash)
	rights, err := k.compile(k.Name)
	if err != nil {
		return err
	}
	r.identity = &Identity{
		name: k.Name, key: true, known: true, rights: rights, author: authorOf("key", k.Name), expires: k.Expires,
	}
	return nil
}

// isAPIKey reports whether a credential is an API key rather than a token.
func isAPIKey(credential string) bool { return strings.HasPrefix(credential, keyPrefix) }

// identify compares a key with all, in a time that tells nothing about any.
func (all apiKeys) identify(presented string, now time.Time) (*Identity, error) {
	hash := sha256.Sum256([]byte(presented))
	var found *Identity
	for i := range all {
		if subtle.ConstantTimeCompare(hash[:], all[i].hash[:]) == 1 {
			found = all[i].identity
		}
	}
	switch {
	case found == nil:
		return nil, &DeniedError{Status: http.StatusUnauthorized, Reason: UnknownAPIKey, Msg: "unknown API key"}
	case !found.expires.IsZero() && !now.Before(found.expires):
		return nil, &DeniedError{Status: http.StatusUnauthorized, Reason: ExpiredAPIKey, Msg: "the API key has expired"}
	}
	return found, nil
}

// NewAPIKey returns a random key of 256 bits, and its entry for the file of API keys. The
// entry has only a hash of the key.
func NewAPIKey(name string) (key, entry string) {
	key = keyPrefix + rand.Text() + rand.Text()
	hash := sha256.Sum256([]byte(key))
	entry = fmt.Sprintf(`keys:
  - name: %q
    sha256: %x
    # expires: 2030-01-01T00:00:00Z
    publish: ["/room/**"]
    read: ["/room/**"]
    recall: any
`, name, hash)
	return key, entry
}
