#!/usr/bin/env bash
# words.sh [FILE...]: fails on turns of phrase that CONTRIBUTING.md rules out, in Markdown and
# Go, and on lines of Markdown over 100 columns. Without arguments: all files of the repository.
# Code blocks, code spans and generated tables may say what they like; tables, headings, and
# lines with links may be long.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -eq 0 ]; then
	# No path of the repository has a space.
	# shellcheck disable=SC2046
	set -- $(git ls-files '*.md' '*.go' ':!*.zh.md' ':!proto/gen/*' ':!deploy/verify/words_test.go')
fi

# In the C locale every awk counts bytes, so columns() can count characters by itself.
LC_ALL=C awk '
function ban(pattern, advice) {
	n++
	patterns[n] = "[^a-z]" pattern "[^a-z]"; advices[n] = advice
	any = any (n > 1 ? "|" : "") patterns[n]
}
function complain(text) {
	print FILENAME ":" FNR ": " text
	bad = 1
}
function columns(s) {
	gsub(/[\200-\277]/, "", s) # all bytes of a character but its first
	return length(s)
}
# words looks for banned turns in a line, also for those that began on the line before.
function words(line,    s, i, rest) {
	sub(/^[ \t]+/, "", line)
	s = tail " " tolower(line) " "
	if (s ~ any)
		for (i = 1; i <= n; i++)
			for (rest = s; match(rest, patterns[i]); rest = substr(rest, RSTART + 1))
				if (length(s) - length(rest) + RSTART + RLENGTH - 1 > length(tail) + 1) {
					complain("\"" substr(rest, RSTART + 1, RLENGTH - 2) "\": " advices[i])
					break
				}
	tail = length(s) > 41 ? substr(s, length(s) - 40, 40) : substr(s, 1, length(s) - 1)
}
BEGIN {
	ban("whoever", "name the one who acts")
	ban("anew", "write again, or new")
	ban("for ever", "write forever, or never expires")
	ban("says? whether", "write reports whether")
	ban("(every|any)body (may|can)", "write everyone may, or callers may")
	ban("(is|are|was|were|be) away", "write down")
	ban("(is|are|was|were|be|been|being) told", "write gets, learns or sees, with a subject")
	ban("all that", "write all, everything or every")
	ban("there (is|are|was|were) [^.;:|?]* that", "begin with what acts")
	ban("stands? (there|at|behind|between|after|before)", "write is, or has")
	ban("ask(s|ed)? of", "write needs, or requires")
	ban("who goes on", "write clients that continue")
}
FNR == 1 { fence = generated = 0; tail = "" }
FILENAME ~ /\.md$/ {
	if ($0 ~ /^ *```/) { fence = !fence; tail = ""; next }
	if ($0 ~ /^<!-- (\/|.*: end -->)/) generated = 0
	else if ($0 ~ /^<!-- ([a-z-]+|.*: begin) -->$/) generated = 1
	if (fence || generated) next
	if ($0 ~ /^$|^ *[|#]|^ *([-*]|[0-9]+\.) /) tail = ""
	if (columns($0) > 100 && $0 !~ /^ *[|#]|\]\(|:\/\/|^ *`[^`]*`$/)
		complain("longer than 100 columns")
	line = $0
	gsub(/`[^`]*`/, "`", line)
	words(line)
	next
}
{
	if ($0 !~ /^[ \t]*\/\//) tail = ""
	line = $0
	sub(/^[ \t]*\/\//, "", line)
	words(line)
}
END { exit bad }
' "$@"
