#!/bin/sh
# charts.sh: prints the chart of docs/comparison.md as SVG, from the figures in
# docs/performance.md. A test of ./standalone compares it with the committed file:
#
#   scripts/charts.sh > docs/images/comparison.svg
set -eu

cd "$(dirname "$0")/.."
awk '
	{ line[NR] = $0 }
	/^### Centrifuge$/ { theirs = NR }

	# What a column holds in the first row of that name from a line on.
	function figure(from, row, column, i, cells) {
		for (i = from; from && i <= NR; i++)
			if (index(line[i], "| " row) == 1) {
				split(line[i], cells, / *\| */)
				if (match(cells[column], /^[0-9.]+( to [0-9.]+)?/)) return substr(cells[column], 1, RLENGTH)
			}
		print "charts: docs/performance.md has no figure for " row > "/dev/stderr"
		exit 1
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
	function pair(title, row, column, a, b, largest) {
		a = figure(1, row, column)
		b = figure(theirs, row, 3)
		largest = middle(a) > middle(b) ? middle(a) : middle(b)
		printf "<text class=\"title\" x=\"20\" y=\"%d\">%s</text>\n", top, title
		bar("gotapi-ws", top + 9, a, largest)
		bar("Centrifuge", top + 29, b, largest)
		top += 74
	}

	END {
		print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 680 560\" role=\"img\" aria-labelledby=\"t\" font-family=\"system-ui, sans-serif\" font-size=\"14\">"
		print "<title id=\"t\">CPU and memory of gotapi-ws and Centrifuge in seven cases: less is better</title>"
		print "<style>text { fill: #181c22; } .title { font-weight: 600; } .name { text-anchor: end; fill: #4b5563; } .gotapi-ws { fill: #0b5fcc; } .Centrifuge { fill: #8a94a3; }</style>"
		print "<rect width=\"680\" height=\"560\" fill=\"#fff\"/>"
		print "<text class=\"name\" style=\"text-anchor: start\" x=\"20\" y=\"28\">CPU seconds of all server processes per million; each case has its own scale; less is better</text>"
		top = 62
		pair("100 rooms of 10 members, acked messages", "100 groups of 10", 3)
		pair("1,000 rooms of 2, acked messages", "1,000 groups of 2", 3)
		pair("1 room of 500, deliveries", "1 group of 500", 3)
		pair("1,000 messages a second over 100 rooms", "1,000 messages/s", 3)
		pair("history page of 100 over HTTP", "history page", 3)
		pair("HTTP publish, 64 clients", "HTTP publish", 3)
		pair("idle connection, kB of memory", "idle connection", 8)
		print "</svg>"
	}
' docs/performance.md
