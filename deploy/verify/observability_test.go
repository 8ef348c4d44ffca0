package verify

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

const observability = root + "/deploy/observability"

// series are the label values of the metrics that the running processes export:
// metric -> label -> values.
type series map[string]map[string]map[string]bool

var sample = regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? `)

var pair = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)

// exported runs both services in one process and reads their metrics.
var exported = sync.OnceValues(func() (series, error) {
	dir, err := built()
	if err != nil {
		return nil, err
	}
	ops, err1 := freeAddr()
	web, err2 := freeAddr()
	rpc, err3 := freeAddr()
	files, err4 := os.MkdirTemp("", "gotapi-verify-")
	defer func() { _ = os.RemoveAll(files) }()
	// With TLS, for the metrics of that.
	cert, key, err5 := selfSigned(files)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "gotapi-ws"), "-listen", web, "-grpc-listen", rpc, "-ops-listen", ops,
		"-tls-cert", cert, "-tls-key", key)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for {
		if text, err := get(ctx, "http://"+ops+"/readyz", "https://"+web+"/__/history?groupName=/room&size=1", "http://"+ops+"/metrics"); err == nil {
			return parse(text), nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("not ready: %s", log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
})

// freeAddr returns an address to listen on. Systems give ports from 32768 on to connections and
// to listeners that name none: one of those could be taken before a process listens on it.
func freeAddr() (string, error) {
	var ln net.Listener
	var err error
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		if ln, err = new(net.ListenConfig).Listen(context.Background(), "tcp", addr); err == nil {
			return addr, ln.Close()
		}
	}
	return "", err
}

// insecure trusts the certificate that the test made itself.
var insecure = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

// get asks for the URLs in turn and returns the last answer, when all are 200.
func get(ctx context.Context, urls ...string) (string, error) {
	var body []byte
	for _, url := range urls {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return "", err
		}
		resp, err := insecure.Do(req)
		if err != nil {
			return "", err
		}
		body, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return "", err
		}
		if resp.StatusCode != http.StatusOK {
			return "", fmt.Errorf("%s: %s", url, resp.Status)
		}
	}
	return string(body), nil
}

func parse(text string) series {
	all := series{"up": {}, "ALERTS": {}}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		m := sample.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		if all[m[1]] == nil {
			all[m[1]] = map[string]map[string]bool{}
		}
		for _, p := range pair.FindAllStringSubmatch(m[2], -1) {
			if all[m[1]][p[1]] == nil {
				all[m[1]][p[1]] = map[string]bool{}
			}
			all[m[1]][p[1]][p[2]] = true
		}
	}
	return all
}

var (
	selector = regexp.MustCompile(`\b(up|(?:gotapi|process|go)[_:][a-z0-9_:]+)\b(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(=|!=|=~|!~)\s*"([^"]*)"`)
)

// given by Prometheus, not by the processes.
var given = map[string]bool{"job": true, "instance": true}

// checkExpression fails the test when a metric, label or label value does not exist.
func checkExpression(t *testing.T, where, expr string, recorded map[string]bool) {
	t.Helper()
	existing, err := exported()
	if err != nil {
		t.Fatal(err)
	}
	found := selector.FindAllStringSubmatch(expr, -1)
	if len(found) == 0 {
		t.Errorf("%s: no metric in %s", where, expr)
	}
	for _, s := range found {
		name := s[1]
		if recorded[name] {
			continue
		}
		if existing[name] == nil {
			t.Errorf("%s: there is no metric %s", where, name)
			continue
		}
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			label, values := m[1], strings.Split(m[3], "|")
			if given[label] {
				continue
			}
			for _, v := range values {
				// Codes come to be when they happen.
				if !existing[name][label][v] && label != "code" {
					t.Errorf("%s: %s has no %s=%q", where, name, label, v)
				}
			}
		}
	}
}

// rules are a file of rules.
type rules struct {
	Groups []struct {
		Rules []struct {
			Record, Alert, Expr string
			Labels, Annotations map[string]string
		}
	}
}

func readRules(t *testing.T) (all []rules, recorded map[string]bool) {
	t.Helper()
	recorded = map[string]bool{}
	files, _ := filepath.Glob(observability + "/rules/*.yml")
	if len(files) != 2 {
		t.Errorf("rules: %q", files)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r rules
		if err := yaml.UnmarshalStrict(text, &r, yaml.DisallowUnknownFields); err != nil && !strings.Contains(err.Error(), "unknown field") {
			t.Fatalf("%s: %v", file, err)
		}
		for _, g := range r.Groups {
			for _, rule := range g.Rules {
				if rule.Record != "" {
					recorded[rule.Record] = true
				}
			}
		}
		all = append(all, r)
	}
	return all, recorded
}

func TestRulesUseMetricsThatExist(t *testing.T) {
	all, recorded := readRules(t)
	for _, r := range all {
		for _, g := range r.Groups {
			for _, rule := range g.Rules {
				checkExpression(t, rule.Alert+rule.Record, rule.Expr, recorded)
			}
		}
	}
}

func TestEveryAlertIsTestedAndHasARunbook(t *testing.T) {
	tests := ""
	for _, file := range []string{"alerts.yml", "slo.yml"} {
		text, err := os.ReadFile(filepath.Join(observability, "tests", file))
		if err != nil {
			t.Fatal(err)
		}
		tests += string(text)
	}
	playbook, err := os.ReadFile(root + "/docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	all, _ := readRules(t)
	n := 0
	for _, r := range all {
		for _, g := range r.Groups {
			for _, rule := range g.Rules {
				if rule.Alert == "" {
					continue
				}
				n++
				if !strings.Contains(tests, `alertname="`+rule.Alert+`"}', value: `) {
					t.Errorf("no test fires %s", rule.Alert)
				}
				if s := rule.Labels["severity"]; s != "page" && s != "ticket" {
					t.Errorf("%s has severity %q", rule.Alert, s)
				}
				anchor := "https://github.com/gotapi/gotapi-ws/blob/main/docs/operations.md#" + strings.ToLower(rule.Alert)
				if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || rule.Annotations["runbook_url"] != anchor {
					t.Errorf("%s: annotations %v, want a summary, a description and runbook_url %s", rule.Alert, rule.Annotations, anchor)
				}
				if !bytes.Contains(playbook, []byte("\n### "+rule.Alert+"\n")) {
					t.Errorf("docs/operations.md has no entry %s", rule.Alert)
				}
			}
		}
	}
	if n < 15 {
		t.Errorf("found %d alerts", n)
	}
}

func TestPromtoolAgrees(t *testing.T) {
	need(t, "promtool")
	for _, args := range [][]string{
		{"check", "config", observability + "/prometheus.yml"},
		{"test", "rules", observability + "/tests/alerts.yml", observability + "/tests/slo.yml"},
	} {
		if code, out := run(t, os.Environ(), "promtool", args...); code != 0 {
			t.Errorf("promtool %q: %s", args, out)
		}
	}
}

var grouping = regexp.MustCompile(`\bby \(([^)]*)\)`)

// TestQueriesOfThePageUseMetricsThatExist checks docs/howto/prometheus-queries.md.
func TestQueriesOfThePageUseMetricsThatExist(t *testing.T) {
	need(t, "promtool")
	page, err := os.ReadFile(root + "/docs/howto/prometheus-queries.md")
	if err != nil {
		t.Fatal(err)
	}
	existing, err := exported()
	if err != nil {
		t.Fatal(err)
	}
	found := block.FindAllStringSubmatch(string(page), -1)
	if len(found) != 10 {
		t.Errorf("found %d queries", len(found))
	}
	for _, m := range found {
		expr := strings.TrimSpace(m[2])
		checkExpression(t, "docs/howto/prometheus-queries.md", expr, nil)
		metric := selector.FindStringSubmatch(expr)
		if metric == nil {
			continue // checkExpression has complained
		}
		for _, by := range grouping.FindAllStringSubmatch(expr, -1) {
			for label := range strings.SplitSeq(by[1], ", ") {
				// Codes come to be when they happen.
				if !given[label] && label != "code" && existing[metric[1]][label] == nil {
					t.Errorf("%s: %s has no label %s", expr, metric[1], label)
				}
			}
		}
		rules, err := yaml.Marshal(map[string]any{"groups": []any{
			map[string]any{"name": "page", "rules": []any{map[string]any{"record": "page:query", "expr": expr}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "query.yml")
		if err := os.WriteFile(file, rules, 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out := run(t, os.Environ(), "promtool", "check", "rules", file); code != 0 {
			t.Errorf("%s: %s", expr, out)
		}
	}
}

// dashboard is what of a Grafana dashboard is checked here.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct{ List []struct{ Name, Type string } }
	Panels        []struct {
		ID          int
		Type, Title string
		Datasource  struct{ UID string }
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ RefID, Expr string }
	}
}

var variableUse = regexp.MustCompile(`\$\{?([a-zA-Z_]+)`)

func TestTheDashboardUsesMetricsThatExist(t *testing.T) {
	text, err := os.ReadFile(observability + "/grafana/dashboards/gotapi-ws.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	variables := []string{"__rate_interval", "__range"}
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	_, recorded := readRules(t)
	ids := map[int]string{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] != "" {
			t.Errorf("panels %q and %q have one id", ids[p.ID], p.Title)
		}
		ids[p.ID] = p.Title
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies on %q, or outside", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %q: data source %q, %d queries", p.Title, p.Datasource.UID, len(p.Targets))
		}
		for _, target := range p.Targets {
			checkExpression(t, "panel "+p.Title, target.Expr, recorded)
			for _, use := range variableUse.FindAllStringSubmatch(target.Expr, -1) {
				if !slices.Contains(variables, use[1]) {
					t.Errorf("panel %q: there is no variable %s", p.Title, use[1])
				}
			}
		}
	}
	if len(ids) < 30 || d.UID == "" || d.SchemaVersion < 36 {
		t.Errorf("dashboard %q has %d panels, schema %d", d.UID, len(ids), d.SchemaVersion)
	}
}

func TestProvisioningAndScrapingFitTheComposeFile(t *testing.T) {
	services := load(t, variants["observability"]).Services
	grafana := services["grafana"]
	var provider struct {
		Providers []struct{ Options struct{ Path string } }
	}
	readYAML(t, observability+"/grafana/provisioning/dashboards/gotapi-ws.yml", &provider)
	mounted := false
	for _, v := range grafana.Volumes {
		mounted = mounted || v.Target == provider.Providers[0].Options.Path && strings.HasSuffix(v.Source, "grafana/dashboards")
	}
	if !mounted {
		t.Errorf("grafana looks for dashboards in %q, where none is mounted", provider.Providers[0].Options.Path)
	}
	var source struct{ Datasources []struct{ URL string } }
	readYAML(t, observability+"/grafana/provisioning/datasources/prometheus.yml", &source)
	if _, ok := services["prometheus"]; !ok || source.Datasources[0].URL != "http://prometheus:9090" {
		t.Errorf("grafana's data source is %q", source.Datasources[0].URL)
	}
	var config struct {
		ScrapeConfigs []struct {
			JobName string `json:"job_name"`
			DNS     []struct {
				Names []string
				Port  int
			} `json:"dns_sd_configs"`
		} `json:"scrape_configs"`
	}
	readYAML(t, observability+"/prometheus.yml", &config)
	for _, c := range config.ScrapeConfigs {
		service := services[c.DNS[0].Names[0]]
		listen := service.Environment["GOTAPI_OPS_LISTEN"]
		if c.JobName != "gotapi-"+service.Name || listen == nil || *listen != fmt.Sprintf(":%d", c.DNS[0].Port) {
			t.Errorf("job %s asks port %d of %q, which listens on %v", c.JobName, c.DNS[0].Port, c.DNS[0].Names[0], listen)
		}
	}
}

func readYAML(t *testing.T, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
