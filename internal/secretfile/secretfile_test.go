package secretfile_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/internal/secretfile"
)

func TestOnlyLineBreaksAtTheEndAreNoPartOfTheSecret(t *testing.T) {
	for in, want := range map[string]string{
		"secret":              "secret",
		"secret\n":            "secret",
		"secret\r\n":          "secret",
		"secret\n\n":          "secret",
		" two words\t \n":     " two words\t ",
		"\nline\nbreaks\n":    "\nline\nbreaks",
		"\x00bytes\xa0\x85\n": "\x00bytes\xa0\x85",
	} {
		got, err := secretfile.Read(write(t, in))
		if err != nil || string(got) != want {
			t.Errorf("a file with %q: got %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestAFileWithoutASecretIsAnError(t *testing.T) {
	for _, content := range []string{"", "\r\n", " \n"} {
		path := write(t, content)
		if got, err := secretfile.Read(path); err == nil || !strings.Contains(err.Error(), path+" is empty") {
			t.Errorf("a file with %q: got %q, %v, want an error", content, got, err)
		}
	}
	if _, err := secretfile.Read(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("no file: got %v, want that it does not exist", err)
	}
}

func TestAByteOrderMarkIsAnErrorThatNamesTheFile(t *testing.T) {
	for _, content := range []string{"\xef\xbb\xbfsecret\n", "\xff\xfes\x00", "\xfe\xff\x00s"} {
		path := write(t, content)
		if got, err := secretfile.Read(path); err == nil || !strings.Contains(err.Error(), path+" begins with a byte order mark") {
			t.Errorf("a file with %q: got %q, %v, want an error", content, got, err)
		}
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAFileHoldsASecretALine(t *testing.T) {
	for content, want := range map[string][]string{
		"one":                    {"one"},
		"one\n":                  {"one"},
		"new one\r\nold\r\n\r\n": {"new one", "old"},
		"\n  \n one \n":          {" one "},
		"":                       nil,
		"bin\x00ary\nbytes\n":    {"bin\x00ary\nbytes"},
		"bin\xffary\nbytes":      {"bin\xffary\nbytes"},
	} {
		var got []string
		for _, line := range secretfile.Lines([]byte(content)) {
			got = append(got, string(line))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", content, got, want)
		}
	}
}
