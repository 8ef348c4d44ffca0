package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	// A URL has // too, but no space before them.
	comment = regexp.MustCompile(`(^|\s+)(//|#) .*$`)
)

// A section is what a translation keeps of one: all but the words.
type section struct {
	heading string
	level   int
	rows    int      // of tables
	blocks  []string // of code, without comments
	spans   []string // of code within text, each once, in order of the alphabet
}

// sectionsOf returns the sections of a page. The first is what precedes all headings.
func sectionsOf(page string) []section {
	sections := []section{{heading: "(top)"}}
	var prose, block []string
	fenced := false
	finish := func() {
		last := &sections[len(sections)-1]
		for _, m := range codeSpan.FindAllStringSubmatch(strings.Join(prose, " "), -1) {
			last.spans = append(last.spans, m[1])
		}
		slices.Sort(last.spans)
		last.spans = slices.Compact(last.spans)
		prose = nil
	}
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		last := &sections[len(sections)-1]
		switch level := len(line) - len(strings.TrimLeft(line, "#")); {
		case strings.HasPrefix(line, "```"):
			if fenced {
				last.blocks = append(last.blocks, strings.Join(block, "\n"))
				block = nil
			} else {
				block = []string{line}
			}
			fenced = !fenced
		case fenced:
			if code := comment.ReplaceAllString(line, ""); code != "" {
				block = append(block, code)
			}
		case level > 0 && strings.HasPrefix(line[level:], " "):
			finish()
			sections = append(sections, section{heading: line, level: level})
		default:
			if strings.HasPrefix(line, "|") {
				last.rows++
			}
			prose = append(prose, line)
		}
	}
	finish()
	return sections
}

// differences returns what one of the pages has and the other lacks.
func differences(english, chinese string) []string {
	en, zh := sectionsOf(english), sectionsOf(chinese)
	if len(en) != len(zh) {
		return []string{fmt.Sprintf("%d headings, and %d in Chinese", len(en)-1, len(zh)-1)}
	}
	var found []string
	for i, e := range en {
		z := zh[i]
		add := func(format string, args ...any) {
			found = append(found, fmt.Sprintf("%s: ", e.heading)+fmt.Sprintf(format, args...))
		}
		if e.level != z.level {
			add("the Chinese heading is of another level: %s", z.heading)
		}
		if e.rows != z.rows {
			add("%d rows in tables, and %d in Chinese", e.rows, z.rows)
		}
		if !slices.Equal(e.blocks, z.blocks) {
			add("blocks of code differ:\n%s\nand in Chinese:\n%s", strings.Join(e.blocks, "\n"), strings.Join(z.blocks, "\n"))
		}
		for _, span := range e.spans {
			if !slices.Contains(z.spans, span) {
				add("not in Chinese: `%s`", span)
			}
		}
		for _, span := range z.spans {
			if !slices.Contains(e.spans, span) {
				add("only in Chinese: `%s`", span)
			}
		}
	}
	return found
}

func TestChinesePagesHaveWhatTheEnglishOnesHave(t *testing.T) {
	translated := 0
	for _, page := range pages(t) {
		name, ok := strings.CutSuffix(page, ".zh.md")
		if !ok {
			continue
		}
		translated++
		english, err := os.ReadFile(filepath.Join(root, name+".md"))
		if err != nil {
			t.Fatal(err)
		}
		chinese, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, difference := range differences(string(english), string(chinese)) {
			t.Errorf("%s and %s.md differ: %s", page, name, difference)
		}
	}
	if translated < 4 {
		t.Errorf("found %d Chinese pages", translated)
	}
}

func TestDifferencesOfTranslations(t *testing.T) {
	const english = "# Page\n\nSet `-listen` and\n`-redis`.\n\n## Run\n\n| flag |\n|---|\n| `-x` |\n\n" +
		"```sh\n# builds it\nmake build # twice\ncurl http://host/#a\n```\n"
	const chinese = "# 页面\n\n设置 `-redis` 和 `-listen`，尤其是 `-redis`。\n\n## 运行\n\n| 参数 |\n|---|\n| `-x` |\n\n" +
		"```sh\n# 构建\nmake build # 两次\ncurl http://host/#a\n```\n"
	if found := differences(english, chinese); found != nil {
		t.Errorf("a faithful translation differs: %q", found)
	}
	for name, c := range map[string]struct{ old, now, want string }{
		"heading missing":    {"## 运行\n", "", "2 headings, and 1 in Chinese"},
		"heading added":      {"## 运行\n", "## 新\n## 运行\n", "2 headings, and 3 in Chinese"},
		"level of a heading": {"## 运行", "### 运行", "## Run: the Chinese heading is of another level: ### 运行"},
		"row missing":        {"|---|\n", "", "## Run: 3 rows in tables, and 2 in Chinese"},
		"block missing":      {"```sh\n# 构建\nmake build # 两次\ncurl http://host/#a\n```\n", "", "## Run: blocks of code differ"},
		"language":           {"```sh", "```", "## Run: blocks of code differ"},
		"code":               {"make build", "make", "## Run: blocks of code differ"},
		"code after //":      {"host/#a", "other/#a", "## Run: blocks of code differ"},
		"span missing":       {"`-x`", "-x", "## Run: not in Chinese: `-x`"},
		"span added":         {"`-x`", "`-x` `-y`", "## Run: only in Chinese: `-y`"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(chinese, c.old, c.now, 1)
			if found := differences(english, changed); len(found) != 1 || !strings.HasPrefix(found[0], c.want) {
				t.Errorf("found %q, want one that begins with %q", found, c.want)
			}
		})
	}
}
