package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// policy is what callers may do whose credential does not say it.
type policy struct {
	// Callers without a credential.
	Anonymous Grant `json:"anonymous"`
	// Callers whose valid token does not carry the claim.
	Authenticated Grant `json:"authenticated"`
}

// parsePolicy reads the policy: YAML, a Grant under "anonymous" and one under
// "authenticated".
func parsePolicy(b []byte) (*policy, error) {
	p := new(policy)
	if err := decodeYAML(b, p); err != nil {
		return nil, err
	}
	if p.Anonymous.Recall.Short == recallOwn || len(p.Anonymous.Recall.Own) > 0 {
		return nil, errors.New("anonymous: recall: \"own\" needs a name: use \"any\" or \"none\"")
	}
	if len(p.Anonymous.ActAs) > 0 {
		return nil, errors.New("anonymous: act_as needs a credential")
	}
	if err := p.Anonymous.check(); err != nil {
		return nil, fmt.Errorf("anonymous: %w", err)
	}
	if err := p.Authenticated.check(); err != nil {
		return nil, fmt.Errorf("authenticated: %w", err)
	}
	return p, nil
}

// decodeYAML reads YAML strictly into a value that knows its JSON form, so that
// claims and files have one definition. An empty file is an empty value.
func decodeYAML(b []byte, into any) error {
	var tree map[string]any
	if err := yaml.Unmarshal(b, &tree); err != nil {
		return fmt.Errorf("not YAML: %s", strings.Join(strings.Fields(err.Error()), " ")) // it has several lines
	}
	asJSON, err := json.Marshal(tree)
	if err != nil {
		return fmt.Errorf("not a mapping of names to values: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(asJSON))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
