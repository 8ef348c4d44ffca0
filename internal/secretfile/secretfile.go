// Package secretfile reads files that hold one secret: a password, a token or a key.
package secretfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// Read returns the secret in the file at path. A file with nothing but white
// space is an error, and so is a byte order mark.
func Read(path string) ([]byte, error) {
	b, err := os.ReadFile(path) //nolint:gosec // the operator named it
	if err != nil {
		return nil, err
	}
	return secretIn(path, b)
}

// secretIn returns the secret in what the file at path holds.
func secretIn(path string, b []byte) ([]byte, error) {
	if err := Check(b); err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return Trim(b), nil
}

// ReadOptional is Read for the file that a flag names. Without a path, it returns nil.
func ReadOptional(flag, path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	b, err := Read(path)
	if err != nil {
		return nil, fmt.Errorf("-%s: %w", flag, err)
	}
	return b, nil
}

// Trim returns the secret in what a file holds: all but the line breaks at its
// end, which editors add. Other white space is part of the secret.
func Trim(b []byte) []byte { return bytes.TrimRight(b, "\r\n") }

var errByteOrderMark = errors.New("begins with a byte order mark: save it as UTF-8 without one")

// Check returns an error if what a file holds begins with a byte order mark, of
// UTF-8 or UTF-16. Editors add it, nobody sees it, and no secret would fit.
func Check(b []byte) error {
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(b, []byte(mark)) {
			return errByteOrderMark
		}
	}
	return nil
}
