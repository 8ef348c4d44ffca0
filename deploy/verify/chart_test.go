package verify

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const (
	chartFolder = root + "/deploy/helm/gotapi-ws"
	// The name that the plain manifests and most tests give the release, and its namespace.
	releaseName = "gotapi"
)

var update = flag.Bool("update", false, "write the plain manifests of deploy/kubernetes")

// examples are the chart's files of values, by name without the extension.
func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(chartFolder + "/examples/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("found the examples %v, %v", files, err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".yaml")
	}
	return files
}

// values merges examples, as `helm -f` does.
func values(t *testing.T, examples ...string) map[string]any {
	t.Helper()
	merged := map[string]any{}
	for _, name := range examples {
		one, err := common.ReadValuesFile(filepath.Join(chartFolder, "examples", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		merged = loader.MergeMaps(merged, one)
	}
	return merged
}

// template is `helm template`: the rendered files by the names of their templates.
func template(t *testing.T, release string, values map[string]any) (map[string]string, error) {
	t.Helper()
	chart, err := loader.Load(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	given, err := util.ToRenderValues(chart, values, common.ReleaseOptions{Name: release, Namespace: releaseName}, nil)
	if err != nil {
		return nil, err
	}
	rendered, err := engine.Engine{Strict: true}.RenderWithContext(t.Context(), chart, given)
	files := map[string]string{}
	for name, text := range rendered {
		if text = strings.TrimSpace(text); text != "" {
			files[filepath.Base(name)] = text + "\n"
		}
	}
	return files, err
}

// objects are those of rendered files, by kind and name.
func objects(t *testing.T, files map[string]string) map[string]runtime.Object {
	t.Helper()
	all := map[string]runtime.Object{}
	for name, text := range files {
		if filepath.Ext(name) != ".yaml" {
			continue
		}
		for _, document := range strings.Split(text, "\n---\n") {
			object := decode(t, name, []byte(document))
			meta, ok := object.(metav1.Object)
			if !ok {
				t.Fatalf("%s has a %T", name, object)
			}
			key := object.GetObjectKind().GroupVersionKind().Kind + " " + meta.GetName()
			if all[key] != nil {
				t.Errorf("%s: there are two of %s", name, key)
			}
			all[key] = object
		}
	}
	return all
}

// with renders the chart with the values of examples.
func with(t *testing.T, examples ...string) map[string]runtime.Object {
	t.Helper()
	files, err := template(t, releaseName, values(t, examples...))
	if err != nil {
		t.Fatalf("helm template with %q: %v", examples, err)
	}
	return objects(t, files)
}

func TestTheChartLintsAndRendersWithEachExample(t *testing.T) {
	for _, some := range append([][]string{nil, examples(t)}, slices.Collect(slices.Chunk(examples(t), 1))...) {
		given := values(t, some...)
		for _, m := range lint.RunAll(chartFolder, given, releaseName).Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("helm lint with %q: %v", some, m)
			}
		}
		with(t, some...)
	}
}

// TestThePlainManifestsAreThoseOfTheChart: one source. `make manifests` writes them.
func TestThePlainManifestsAreThoseOfTheChart(t *testing.T) {
	files, err := template(t, releaseName, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if filepath.Ext(name) != ".yaml" {
			continue
		}
		text = "# Generated from deploy/helm/gotapi-ws by `make manifests`: change the chart, not this.\n" + text
		path := filepath.Join(manifests, name)
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // it is public
				t.Fatal(err)
			}
		}
		if is, err := os.ReadFile(path); err != nil || !bytes.Equal(is, []byte(text)) {
			t.Errorf("%s is not what the chart renders (%v): run `make manifests`", path, err)
		}
	}
	// What kustomize makes of them is the same, in a namespace that denies all other traffic.
	plain := render(t, manifests)
	for _, added := range []string{"Namespace " + releaseName, "NetworkPolicy deny-all"} {
		if plain[added] == nil {
			t.Errorf("kustomization.yaml lacks %s", added)
		}
		delete(plain, added)
	}
	want := with(t)
	if !slices.Equal(slices.Sorted(maps.Keys(plain)), slices.Sorted(maps.Keys(want))) {
		t.Errorf("kustomize build has %q, the chart %q", slices.Sorted(maps.Keys(plain)), slices.Sorted(maps.Keys(want)))
	}
	for name, object := range want {
		if !reflect.DeepEqual(plain[name], object) {
			t.Errorf("%s: kustomize build has\n%v, the chart\n%v", name, plain[name], object)
		}
	}
}

func TestTwoReleasesShareANamespace(t *testing.T) {
	everything := values(t, "tls", "observability")
	var all [2]map[string]runtime.Object
	for i, release := range []string{"one", "two"} {
		files, err := template(t, release, everything)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = objects(t, files)
		if notes := files["NOTES.txt"]; !strings.Contains(notes, "service/"+release+"-edge") {
			t.Errorf("NOTES.txt of %s: %s", release, notes)
		}
	}
	for key := range all[0] {
		if all[1][key] != nil {
			t.Errorf("both releases have %s", key)
		}
	}
	for _, name := range services {
		selector, err := metav1.LabelSelectorAsSelector(find[*appsv1.Deployment](t, all[0], "Deployment one-"+name).Spec.Selector)
		if err != nil {
			t.Fatal(err)
		}
		if pods := find[*appsv1.Deployment](t, all[1], "Deployment two-"+name).Spec.Template.Labels; selector.Matches(labels.Set(pods)) {
			t.Errorf("%s of one release selects pods of the other: %v", name, pods)
		}
	}
	if got, want := environmentOf(t, all[1], "two", "edge")["GOTAPI_HISTORY"], "dns:///two-historysvc:5998"; got != want {
		t.Errorf("edges look for history services at %q, want %q", got, want)
	}
}

// TestNamesThatYAMLTakesForSomethingElse are text, as Kubernetes wants them.
func TestNamesThatYAMLTakesForSomethingElse(t *testing.T) {
	given, err := common.ReadValues([]byte(`
fullnameOverride: chat
image: {pullSecrets: ["8"]}
files: {GOTAPI_SERVICE_TOKEN_FILE: {secretName: "1", key: "on"}}
redis: {urlFrom: {secretName: "2", key: "3"}}
networkPolicy: {monitoringNamespace: "4", dnsNamespace: "5"}
serviceMonitor: {enabled: true}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, release := range []string{"true", "20261201", "1e3", "null"} {
		files, err := template(t, release, given)
		if err != nil {
			t.Fatal(err)
		}
		edge := find[*appsv1.Deployment](t, objects(t, files), "Deployment chat-edge")
		if got := edge.Spec.Selector.MatchLabels["app.kubernetes.io/instance"]; got != release {
			t.Errorf("release %s: the label is %q", release, got)
		}
	}
}

func TestTheSchemaRefusesMistakes(t *testing.T) {
	for wrong, want := range map[string]string{
		"edge: {env: {GOTAPI_MAX_CONNECTIONS: 1048576}}":                   "/edge/env/GOTAPI_MAX_CONNECTIONS",
		"edge: {env: {LOG_LEVEL: debug}}":                                  "LOG_LEVEL",
		"edge: {env: {GOTAPI_ADMIN_SECRET: s3cret}}":                       "GOTAPI_ADMIN_SECRET",
		"historysvc: {env: {GOTAPI_REDIS: \"redis://:password@redis/0\"}}": "GOTAPI_REDIS",
		"edge: {env: {GOTAPI_OPS_LISTEN: \":1\"}}":                         "GOTAPI_OPS_LISTEN",
		"edge: {replicaCount: 3}":                                          "replicaCount",
		"files: {GOTAPI_AUTH_SECRET_FILE: {secret: jwt, key: text}}":       "/files/GOTAPI_AUTH_SECRET_FILE",
		"redis: {url: \"redis://:password@redis:6379/0\"}":                 "/redis/url",
		"redis: {url: \"http://redis:6379\"}":                              "/redis/url",
		"historysvc: {podDisruptionBudget: {spec: {minAvailable: 1}}}":     "/historysvc/podDisruptionBudget/spec",
		"historysvc: {autoscaling: {connections: 30000}}":                  "connections",
	} {
		given, err := common.ReadValues([]byte(wrong))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := template(t, releaseName, given); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("values %s: %v, want an error about %s", wrong, err, want)
		}
	}
}

func TestValuesReachThePods(t *testing.T) {
	given, err := common.ReadValues([]byte(`
image: {registry: registry.example.com/chat, tag: v9, pullSecrets: [registry]}
env: {GOTAPI_LOG_LEVEL: debug, GOTAPI_ALLOWED_ORIGINS: https://example.com}
edge:
  replicas: 3
  autoscaling: {enabled: false}
  env: {GOTAPI_LIMIT_NEW_GROUPS: null, GOTAPI_ALLOWED_ORIGINS: ""}
  podAnnotations: {example.com/team: chat, prometheus.io/scrape: "false"}
  nodeSelector: {example.com/pool: sockets}
`))
	if err != nil {
		t.Fatal(err)
	}
	files, err := template(t, releaseName, given)
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, files)
	edge := find[*appsv1.Deployment](t, all, "Deployment gotapi-edge").Spec
	if edge.Replicas == nil || *edge.Replicas != 3 || all["HorizontalPodAutoscaler gotapi-edge"] != nil {
		t.Errorf("without autoscaling the edge has replicas %v", edge.Replicas)
	}
	// With an autoscaler, replicas would be set back at each upgrade.
	if r := find[*appsv1.Deployment](t, all, "Deployment gotapi-historysvc").Spec.Replicas; r != nil {
		t.Errorf("with autoscaling historysvc has replicas %d", *r)
	}
	pod := edge.Template.Spec
	if got := pod.Containers[0].Image; got != "registry.example.com/chat/gotapi/edge:v9" {
		t.Errorf("the image is %s", got)
	}
	if len(pod.ImagePullSecrets) != 1 || pod.ImagePullSecrets[0].Name != "registry" || pod.NodeSelector["example.com/pool"] != "sockets" {
		t.Errorf("the pod is %+v", pod)
	}
	if a := edge.Template.Annotations; a["example.com/team"] != "chat" || a["prometheus.io/port"] != "9090" || a["prometheus.io/scrape"] != "false" {
		t.Errorf("the annotations are %v", a)
	}
	env := environment(t, all, "edge")
	origins, set := env["GOTAPI_ALLOWED_ORIGINS"]
	if _, left := env["GOTAPI_LIMIT_NEW_GROUPS"]; left || !set || origins != "" || env["GOTAPI_LOG_LEVEL"] != "debug" {
		t.Errorf("the edge's own env does not win over the defaults and the common one: %v", env)
	}
	if got := environment(t, all, "historysvc")["GOTAPI_ALLOWED_ORIGINS"]; got != "https://example.com" {
		t.Errorf("the common env does not reach historysvc: %q", got)
	}
}

// TestOneReplicaLetsItsNodeBeDrained: a budget that keeps the last pod keeps its node, too.
func TestOneReplicaLetsItsNodeBeDrained(t *testing.T) {
	all := with(t)
	for _, name := range services {
		spec := find[*policyv1.PodDisruptionBudget](t, all, "PodDisruptionBudget gotapi-"+name).Spec
		if spec.MinAvailable != nil || spec.MaxUnavailable == nil || spec.MaxUnavailable.IntValue() < 1 {
			t.Errorf("%s: %v", name, spec)
		}
	}
}

func TestPrometheusFindsTheJobsThatTheRulesKnow(t *testing.T) {
	all := with(t, "observability")
	monitor := find[*monitoringv1.ServiceMonitor](t, all, "ServiceMonitor gotapi")
	service, ok := all["Service gotapi-ops"].(metav1.Object)
	if !ok {
		t.Fatal("there is no Service gotapi-ops")
	}
	selector, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
	if err != nil || !selector.Matches(labels.Set(service.GetLabels())) {
		t.Errorf("the monitor selects %v (%v), the Service has %v", selector, err, service.GetLabels())
	}
	if monitor.Labels["release"] != "prometheus" {
		t.Errorf("the monitor has the labels %v", monitor.Labels)
	}
	relabel := monitor.Spec.Endpoints[0].RelabelConfigs[0]
	if relabel.TargetLabel != "job" || *relabel.Replacement != "gotapi-$1" || relabel.SourceLabels[0] != "__meta_kubernetes_pod_label_app_kubernetes_io_name" {
		t.Errorf("the jobs are named by %+v", relabel)
	}
	for _, name := range services {
		d := find[*appsv1.Deployment](t, all, "Deployment gotapi-"+name)
		if d.Spec.Template.Labels["app.kubernetes.io/name"] != name {
			t.Errorf("%s would have the job gotapi-%s", name, d.Spec.Template.Labels["app.kubernetes.io/name"])
		}
		if d.Spec.Template.Annotations["prometheus.io/scrape"] != "" {
			t.Errorf("%s would be scraped twice", name)
		}
	}
}

var documented = regexp.MustCompile("`([a-zA-Z.]+)`")

// TestTheChartsReadmeNamesAllValues: each row of its tables that begins with values names
// values of values.yaml, and every value is in a row or below one.
func TestTheChartsReadmeNamesAllValues(t *testing.T) {
	text, err := os.ReadFile(chartFolder + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	prefixes := []string{""}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| value | edge | historysvc |") {
			prefixes = []string{"edge.", "historysvc."}
		}
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, m := range documented.FindAllStringSubmatch(cell, -1) {
			for _, prefix := range prefixes {
				named[prefix+m[1]] = true
			}
		}
	}
	file, err := os.ReadFile(chartFolder + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var defaults map[string]any
	if err := yaml.Unmarshal(file, &defaults); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		if named[path] {
			found[path] = true
			return
		}
		below, ok := value.(map[string]any)
		if !ok || len(below) == 0 {
			t.Errorf("README.md of the chart does not name %s", path)
		}
		for key, value := range below {
			walk(strings.TrimPrefix(path+"."+key, "."), value)
		}
	}
	walk("", defaults)
	for path := range named {
		if !found[path] {
			t.Errorf("README.md of the chart names %s, which values.yaml does not have", path)
		}
	}
}
