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
	heading   = regexp.MustCompile(`(?m)^#+ .*$`)
	tableRow  = regexp.MustCompile(`(?m)^\|`)
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```$")
	codeSpan  = regexp.MustCompile("`[^`]+`")
	// A whole line, or the rest of one. The // of a URL has no space before it.
	comment = regexp.MustCompile(`(?m)^[ \t]*(?://|#+) .*\n|[ \t]+(?://|#+) .*$`)
)

// A section of a page, and what its translation must have too.
type section struct {
	heading string
	fixed   []string
}

// sectionsOf returns the sections of a page, first what precedes all headings.
func sectionsOf(page string) []section {
	// Without comments, no line of code looks like a heading.
	page = codeBlock.ReplaceAllStringFunc(page, func(block string) string {
		return comment.ReplaceAllString(block, "")
	})
	headings := append([]string{"top"}, heading.FindAllString(page, -1)...)
	sections := make([]section, 0, len(headings))
	for i, body := range heading.Split(page, -1) {
		level := len(headings[i]) - len(strings.TrimLeft(headings[i], "#"))
		text := codeBlock.ReplaceAllString(body, "")
		fixed := []string{
			fmt.Sprintf("heading of level %d", level),
			fmt.Sprintf("%d lines of tables", len(tableRow.FindAllString(text, -1))),
		}
		fixed = append(fixed, codeBlock.FindAllString(body, -1)...)
		fixed = append(fixed, codeSpan.FindAllString(strings.ReplaceAll(text, "\n", " "), -1)...)
		sections = append(sections, section{headings[i], fixed})
	}
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
		for _, thing := range e.fixed {
			if !slices.Contains(zh[i].fixed, thing) {
				found = append(found, fmt.Sprintf("%s: not in Chinese: %s", e.heading, thing))
			}
		}
		for _, thing := range zh[i].fixed {
			if !slices.Contains(e.fixed, thing) {
				found = append(found, fmt.Sprintf("%s: only in Chinese: %s", e.heading, thing))
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
			t.Errorf("%s.md and %s differ: %s", name, page, difference)
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
		"```sh\nmake build # 构建\n# 它\n# 的页面\ncurl http://host/#a\n```\n"
	if found := differences(english, chinese); found != nil {
		t.Errorf("a faithful translation differs: %q", found)
	}
	for name, c := range map[string]struct{ old, now, want string }{
		"heading missing":    {"## 运行\n", "", "2 headings, and 1 in Chinese"},
		"heading added":      {"## 运行\n", "## 新\n## 运行\n", "2 headings, and 3 in Chinese"},
		"level of a heading": {"## 运行", "### 运行", "## Run: not in Chinese: heading of level 2"},
		"row missing":        {"|---|\n", "", "## Run: not in Chinese: 3 lines of tables"},
		"language of code":   {"```sh", "```", "## Run: not in Chinese: ```sh\nmake"},
		"code":               {"make build", "make", "## Run: not in Chinese: ```sh\nmake"},
		"code after //":      {"host/#a", "other/#a", "## Run: not in Chinese: ```sh\nmake"},
		"span missing":       {"`-x`", "-x", "## Run: not in Chinese: `-x`"},
		"span added":         {"`-x`", "`-x` `-y`", "## Run: only in Chinese: `-y`"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(chinese, c.old, c.now, 1)
			found := differences(english, changed)
			if len(found) == 0 || !strings.HasPrefix(found[0], c.want) {
				t.Errorf("found %q, want one that begins with %q", found, c.want)
			}
		})
	}
}
