package groupsettings

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/gotapi/gotapi-ws/access"
)

// maxEntries bounds the entries: each packet looks for the first one that matches, which
// takes some 0.1 us for each entry before it (BenchmarkOf).
const maxEntries = 256

// setting is one key of an entry: how its value is written, and what reads it.
type setting struct {
	key, form string
	read      func(s *Settings, text string) error
}

// settings are all keys but match.
var settings = []setting{
	{"store", "true or false", func(s *Settings, text string) error { return assign(&s.Store, parseBool, text) }},
	{"cap", "a number of messages, at least 1", func(s *Settings, text string) error { return assign(&s.Cap, parseCount, text) }},
	{"retention", "a time of at least 1s, such as 720h, or 0s for no limit", func(s *Settings, text string) error {
		return assign(&s.Retention, parseTime, text)
	}},
	{"names", "true or false", func(s *Settings, text string) error { return assign(&s.Names, parseBool, text) }},
	{"recall-window", "a time of at least 1s, such as 2m, or 0s for no limit", func(s *Settings, text string) error {
		return assign(&s.RecallWindow, parseTime, text)
	}},
	{"max-message-bytes", "a number of bytes, at least 1", func(s *Settings, text string) error {
		return assign(&s.MaxMessageBytes, parseCount, text)
	}},
	{"limit-messages", "a number of messages per second, or 0 for no limit", func(s *Settings, text string) error {
		return assign(&s.LimitMessages, parseRate, text)
	}},
	{"hooks", "before, after, both or none", func(s *Settings, text string) error { return assign(&s.Hooks, parseHooks, text) }},
}

var errForm = errors.New("not of this form")

func assign[T any](to **T, parse func(string) (T, error), text string) error {
	value, err := parse(text)
	*to = &value
	return err
}

func parseBool(text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, errForm
	}
	return text == "true", nil
}

func parseCount(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err == nil && (n < 1 || n > math.MaxInt32) {
		err = errForm
	}
	return n, err
}

// maxTime is 100 years, as for /__/ttl.
const maxTime = 100 * 365 * 24 * time.Hour

func parseTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil && d != 0 && (d < time.Second || d > maxTime) {
		err = errForm
	}
	return d, err
}

func parseRate(text string) (float64, error) {
	rate, err := strconv.ParseFloat(text, 64)
	if err == nil && !(rate >= 0 && rate <= math.MaxInt32) { // not NaN either
		err = errForm
	}
	return rate, err
}

func parseHooks(text string) (Hooks, error) {
	h := Hooks(text)
	if !slices.Contains([]Hooks{HooksBefore, HooksAfter, HooksBoth, HooksNone}, h) {
		return "", errForm
	}
	return h, nil
}

// parse reads the list. Its error names the entry and the key.
func parse(b []byte, maxMessageBytes int) ([]Entry, error) {
	d := yaml.NewDecoder(strings.NewReader(string(b)))
	var document, another yaml.Node
	switch err := d.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("not YAML: %s", strings.Join(strings.Fields(err.Error()), " ")) // it has several lines
	}
	if err := d.Decode(&another); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document: put all entries into one list")
	}
	list := document.Content[0]
	if list.Kind == yaml.ScalarNode && list.Tag == "!!null" {
		return nil, nil
	}
	if list.Kind != yaml.SequenceNode {
		return nil, errors.New("not a list: begin each entry with \"- match: PATTERN\"")
	}
	if len(list.Content) > maxEntries {
		return nil, fmt.Errorf("%d entries: at most %d are allowed; patterns with * or ** match many groups", len(list.Content), maxEntries)
	}
	entries := make([]Entry, len(list.Content))
	for i, node := range list.Content {
		e := &entries[i]
		e.Number = i + 1
		if err := e.parse(node, maxMessageBytes); err != nil {
			return nil, fmt.Errorf("entry %d (line %d): %w", e.Number, node.Line, err)
		}
	}
	return entries, nil
}

func (e *Entry) parse(node *yaml.Node, maxMessageBytes int) (err error) {
	if node.Kind != yaml.MappingNode {
		return errors.New("not names with values: write match: PATTERN, and settings")
	}
	seen := make(map[string]bool)
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i].Value, node.Content[i+1]
		switch {
		case seen[key]:
			return fmt.Errorf("%s: twice: remove one", key)
		case value.Kind != yaml.ScalarNode || value.Tag == "!!null":
			return fmt.Errorf("%s: has no single value: write %s: VALUE", key, key)
		}
		seen[key] = true
		if key == "match" {
			e.Match = value.Value
			if e.pattern, err = access.ParsePattern(e.Match); err != nil {
				return fmt.Errorf("match: %w", err)
			}
			continue
		}
		if err := e.set(key, value.Value); err != nil {
			return err
		}
	}
	if !seen["match"] {
		return errors.New("match: missing: name a group or a pattern, such as /room/**")
	}
	if e.MaxMessageBytes != nil && *e.MaxMessageBytes > maxMessageBytes {
		return fmt.Errorf("max-message-bytes: %d is more than the flag -max-message-bytes allows (%d): lower it, or raise the flag", *e.MaxMessageBytes, maxMessageBytes)
	}
	return nil
}

func (e *Entry) set(key, text string) error {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
	if i < 0 {
		var keys []string
		for _, s := range settings {
			keys = append(keys, s.key)
		}
		return fmt.Errorf("%s: no such setting: use match, %s", key, strings.Join(keys, ", "))
	}
	if err := settings[i].read(&e.Settings, text); err != nil {
		return fmt.Errorf("%s: %q is not %s", key, text, settings[i].form)
	}
	return nil
}
