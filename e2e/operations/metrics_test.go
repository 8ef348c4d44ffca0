package operations

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
)

var update = flag.Bool("update", false, "write the tables of docs/metrics.md")

const metricsDoc = "../../docs/metrics.md"

// openLabels have values that are not listed: there are many, or they depend on
// the build.
var openLabels = []string{"code", "endpoint", "method", "version", "product", "commit", "go"}

func TestMetricsAreThoseOfTheReference(t *testing.T) {
	t.Parallel()
	s := startSecure(t)
	// Some metrics have no series before something happens.
	s.request(t, "POST", client.Group(), client.Data("1", "hello"))
	s.request(t, "GET", "/__/history?groupName=/a", "")

	doc, err := os.ReadFile(metricsDoc)
	if err != nil {
		t.Fatal(err)
	}
	text := string(doc)
	for name, ops := range map[string]string{"edge": s.edgeOps, "historysvc": s.historyOps} {
		scraped := get(t, "http://"+ops+"/metrics")
		problems, err := promlint.New(strings.NewReader(scraped)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, "gotapi_") {
				t.Errorf("%s: %s: %s", name, p.Metric, p.Text)
			}
		}
		want := table(t, scraped)
		before, rest, found := strings.Cut(text, "<!-- "+name+" -->\n")
		got, after, ends := strings.Cut(rest, "<!-- /"+name+" -->")
		if !found || !ends {
			t.Fatalf("%s has no place for %s", metricsDoc, name)
		}
		if got != want && !*update {
			t.Errorf("the metrics of %s are not those of docs/metrics.md: run `make docs`\ngot:\n%s\nwant:\n%s", name, got, want)
		}
		text = before + "<!-- " + name + " -->\n" + want + "<!-- /" + name + " -->" + after
	}
	if *update {
		if err := os.WriteFile(metricsDoc, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// table lists our metrics, one a line.
func table(t *testing.T, scraped string) string {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(scraped))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | what it is |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if f := families[name]; strings.HasPrefix(name, "gotapi_") {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), labels(f), f.GetHelp())
		}
	}
	return b.String()
}

// labels names the labels of a metric, and their values where they are few.
func labels(f *dto.MetricFamily) string {
	values := make(map[string][]string)
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			values[l.GetName()] = append(values[l.GetName()], l.GetValue())
		}
	}
	var all []string
	for _, name := range slices.SortedFunc(maps.Keys(values), cmp.Compare) {
		if slices.Contains(openLabels, name) {
			all = append(all, "`"+name+"`")
			continue
		}
		slices.Sort(values[name])
		all = append(all, "`"+name+"`: "+strings.Join(slices.Compact(values[name]), ", "))
	}
	return strings.Join(all, "; ")
}
