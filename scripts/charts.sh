#!/bin/sh
# charts.sh: prints the chart of docs/comparison.md as SVG, from the figures in
# docs/performance.md. A test of ./standalone compares it with the committed file:
#
#   scripts/charts.sh > docs/images/comparison.svg
set -eu

cd "$(dirname "$0")/.."
awk '
	# Pages may wrap their lines anywhere.
	{ line[NR] = $0; text = text " " $0 }

	function fail(what) {
		print "charts: docs/performance.md has no figure for " what > "/dev/stderr"
		failed = 1
		exit 1
	}
	# The column of a table that holds a figure of this project.
	function ours(row, column, i, cells) {
		for (i = 1; i <= NR; i++)
			if (index(line[i], "| " row) == 1) {
				split(line[i], cells, / *\| */)
				if (match(cells[column], /^[0-9.]+( to [0-9.]+)?/)) return substr(cells[column], 1, RLENGTH)
			}
		fail(row)
	}
	# What the paragraph about Centrifuge says after a name: "59 to 65".
	function theirs(name, rest) {
		rest = substr(text, index(text, "**Centrifuge v"))
		gsub(/ +/, " ", rest)
		if (!match(rest, name " [0-9.]+( to [0-9.]+)?")) fail("Centrifuge, " name)
		rest = substr(rest, RSTART + length(name) + 1, RLENGTH - length(name) - 1)
		sub(/\.$/, "", rest) # of the sentence
		return rest
	}
	function middle(range, ends) {
		return split(range, ends, " to ") == 2 ? (ends[1] + ends[2]) / 2 : range + 0
	}
	function bar(class, y, value, largest, width) {
		width = 420 * middle(value) / largest
		printf "<rect class=\"%s\" x=\"130\" y=\"%d\" width=\"%.1f\" height=\"16\"/>", class, y, width
		printf "<text class=\"name\" x=\"120\" y=\"%d\">%s</text>", y + 13, class
		printf "<text x=\"%.1f\" y=\"%d\">%s</text>\n", 138 + width, y + 13, value
	}
	# Each case has a scale of its own.
	function pair(title, a, b, largest) {
		largest = middle(a) > middle(b) ? middle(a) : middle(b)
		printf "<text class=\"title\" x=\"20\" y=\"%d\">%s</text>\n", top, title
		bar("gotapi-ws", top + 9, a, largest)
		bar("Centrifuge", top + 29, b, largest)
		top += 74
	}

	END {
		if (failed) exit 1
		print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 680 560\" role=\"img\" aria-labelledby=\"t\" font-family=\"system-ui, sans-serif\" font-size=\"14\">"
		print "<title id=\"t\">CPU and memory of gotapi-ws and Centrifuge in seven cases: less is better</title>"
		print "<style>text { fill: #181c22; } .title { font-weight: 600; } .name { text-anchor: end; fill: #4b5563; } .gotapi-ws { fill: #0b5fcc; } .Centrifuge { fill: #8a94a3; }</style>"
		print "<rect width=\"680\" height=\"560\" fill=\"#fff\"/>"
		print "<text class=\"name\" style=\"text-anchor: start\" x=\"20\" y=\"28\">CPU seconds of all server processes per million; each case has its own scale; less is better</text>"
		top = 62
		pair("100 rooms of 10 members, acked messages", ours("100 groups of 10", 3), theirs("100 groups of 10:"))
		pair("1,000 rooms of 2, acked messages", ours("1,000 groups of 2", 3), theirs("1,000 groups of 2:"))
		pair("1 room of 500, deliveries", ours("1 group of 500", 3), theirs("1 group of 500:"))
		pair("1,000 messages a second over 100 rooms", ours("1,000 messages/s", 3), theirs("1,000 messages/s:"))
		pair("history page of 100 over HTTP", ours("history page", 3), theirs("history page:"))
		pair("HTTP publish, 64 clients", ours("HTTP publish", 3), theirs("HTTP publish:"))
		pair("idle connection, kB of memory", ours("idle connection", 8), theirs("idle connection"))
		print "</svg>"
	}
' docs/performance.md
