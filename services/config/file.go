package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// readFile sets the flags that are not chosen yet.
func readFile(fs *flag.FlagSet, chosen map[string]bool) error {
	path := fs.Lookup(configFlag).Value.String()
	if path == "" {
		return nil
	}
	f, err := os.Open(path) //nolint:gosec // the operator named it
	if err != nil {
		return fmt.Errorf("-%s: %w", configFlag, err)
	}
	defer f.Close()
	pairs, err := readPairs(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var wrong Errors
	seen := make(map[string]bool)
	for ; len(pairs) > 0; pairs = pairs[2:] {
		key := pairs[0].Value
		of := fs.Lookup(key)
		switch {
		case of == nil || key == configFlag:
			wrong.Add(fmt.Errorf("%s: unknown setting %q", path, key))
		case seen[key]:
			wrong.Add(fmt.Errorf("%s: %s: set twice", path, key))
		case !chosen[key]:
			if err := setFromYAML(fs, of, pairs[1]); err != nil {
				wrong.Add(fmt.Errorf("%s: %s: %w", path, key, err))
			}
		}
		seen[key] = true
	}
	return wrong.Err()
}

// readPairs returns the keys and values of the mapping that a YAML file is, in turn;
// none, if it is empty.
func readPairs(r io.Reader) ([]*yaml.Node, error) {
	var document, rest yaml.Node
	decoder := yaml.NewDecoder(r)
	err := decoder.Decode(&document)
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("not YAML: %w", err)
	case !errors.Is(decoder.Decode(&rest), io.EOF):
		return nil, errors.New("want one YAML document: settings after a line --- would be ignored")
	case document.Content[0].Kind == yaml.MappingNode:
		return document.Content[0].Content, nil
	case document.Content[0].Tag == nullTag:
		return nil, nil
	}
	return nil, errors.New("not the YAML of settings: want one \"flag: value\" per line")
}

const nullTag = "!!null"

// setFromYAML sets a flag to the text in the file, not to its meaning in YAML, where
// the secret 0123 is the number 83.
func setFromYAML(fs *flag.FlagSet, f *flag.Flag, value *yaml.Node) error {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	var on bool
	switch {
	case value.Kind != yaml.ScalarNode:
		return errors.New("want one value, or several separated by commas")
	case value.Tag == nullTag:
		return fs.Set(f.Name, "")
	case isBool(f.Value) && value.Decode(&on) == nil: // yes, no, on, off
		return fs.Set(f.Name, strconv.FormatBool(on))
	}
	return fs.Set(f.Name, value.Value)
}

// CheckAgain returns an error if the file that values (see Values) name cannot be
// read a second time. A pipe would be empty, and all settings the defaults.
func CheckAgain(values map[string]string) error {
	about, err := os.Stat(values[configFlag])
	if err == nil && about.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0 {
		return fmt.Errorf("-%s: a pipe cannot be read again", configFlag)
	}
	return nil // what else is wrong, reading tells
}
