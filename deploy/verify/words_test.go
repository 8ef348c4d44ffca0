package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWordsFindsWhatIsRuledOut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 20) + "word"
	for name, c := range map[string]struct {
		file, text string
		want       []string // a line number, and the beginning of the complaint
	}{
		"a turn":                      {"a.md", "\nWhoever reads this.\n", []string{`2: "whoever": `}},
		"a turn over two lines":       {"a.md", "It never ends, for\never.\n", []string{`2: "for ever": `}},
		"a turn over lines of a list": {"a.md", "- It never ends, for\n  ever.\n", []string{`2: "for ever": `}},
		"two turns in a line":         {"a.md", "It is read anew, for ever.\n", []string{`1: "anew": `, `1: "for ever": `}},
		"the same turn in two lines":  {"a.md", "It begins anew.\nAnd anew.\n", []string{`1: "anew": `, `2: "anew": `}},
		"a turn in a table":           {"a.md", "| b | it is told |\n", []string{`1: "is told": `}},
		"a turn after code":           {"a.md", "```\nanew\n```\nanew\n", []string{`4: "anew": `}},
		"a turn after a generated":    {"a.md", "<!-- edge -->\nanew\n<!-- /edge -->\nanew\n", []string{`4: "anew": `}},
		"a long line":                 {"a.md", long + "\n", []string{"1: longer than 100 columns"}},
		"a comment of Go":             {"a.go", "// b says whether it is so.\n", []string{`1: "says whether": `}},
		"a comment over two lines":    {"a.go", "\t// b says\n\t// whether it is so.\n", []string{`2: "says whether": `}},
		"a string of Go":              {"a.go", `err := errors.New("redis is away")`, []string{`1: "is away": `}},
		"code":                        {"a.md", "Run `anew`.\n\n```\nanew " + long + "\n```\n", nil},
		"what is generated":           {"a.md", "<!-- reference: begin -->\nanew\n<!-- reference: end -->\n", nil},
		"other words":                 {"a.md", "We anewly told of a takeaway that stands. Is it away?\n", nil},
		"words of two paragraphs":     {"a.md", "What is it for\n\never?\n", nil},
		"a long table":                {"a.md", "| " + long + " |\n", nil},
		"a long heading":              {"a.md", "# " + long + "\n", nil},
		"a long link":                 {"a.md", "- [" + long + "](b)\n", nil},
		"100 characters of two bytes": {"a.md", strings.Repeat("µ", 100) + "\n", nil},
		"code of Go":                  {"a.go", "anewCount := 1\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), c.file)
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out := run(t, os.Environ(), root+"/scripts/words.sh", path)
			lines := strings.SplitAfter(out, "\n")
			matches := len(lines)-1 == len(c.want)
			for i, want := range c.want {
				matches = matches && strings.HasPrefix(lines[i], fmt.Sprintf("%s:%s", path, want))
			}
			if failed := code != 0; !matches || failed != (len(c.want) > 0) {
				t.Errorf("of %q it says, with exit code %d:\n%s\nwant %q", c.text, code, out, c.want)
			}
		})
	}
}
