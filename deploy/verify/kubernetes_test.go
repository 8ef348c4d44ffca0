package verify

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const manifests = root + "/deploy/kubernetes"

// decoder reads manifests as the API server does with strict validation: unknown
// and doubled fields are errors.
var decoder = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, autoscalingv2.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
		monitoringv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}()

// render is `kubectl kustomize` of a folder.
func render(t *testing.T, folder string) map[string]runtime.Object {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatalf("kustomize build %s: %v", folder, err)
	}
	all := map[string]runtime.Object{}
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		all[r.GetKind()+" "+r.GetName()] = decode(t, r.GetKind()+" "+r.GetName(), text)
	}
	return all
}

func decode(t *testing.T, what string, text []byte) runtime.Object {
	t.Helper()
	object, _, err := decoder.Decode(text, nil, nil)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return object
}

func find[T runtime.Object](t *testing.T, all map[string]runtime.Object, name string) T {
	t.Helper()
	object, ok := all[name].(T)
	if !ok {
		t.Fatalf("%s is %T", name, all[name])
	}
	return object
}

var services = []string{"edge", "historysvc"}

func TestTheStrictDecoderFindsMistakes(t *testing.T) {
	for _, wrong := range []string{
		"apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {clusterIp: None}",
		"apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {clusterIP: None, clusterIP: None}",
		"apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: http}]}",
		"apiVersion: v2\nkind: Service",
	} {
		if _, _, err := decoder.Decode([]byte(wrong), nil, nil); err == nil {
			t.Errorf("no error in:\n%s", wrong)
		}
	}
}

func TestPartsFindEachOther(t *testing.T) {
	all := with(t)
	for _, name := range services {
		d := find[*appsv1.Deployment](t, all, "Deployment gotapi-"+name)
		pods := labels.Set(d.Spec.Template.Labels)
		service := find[*corev1.Service](t, all, "Service gotapi-"+name)
		budget := find[*policyv1.PodDisruptionBudget](t, all, "PodDisruptionBudget gotapi-"+name)
		policy := find[*networkingv1.NetworkPolicy](t, all, "NetworkPolicy gotapi-"+name)
		selects := map[string]*metav1.LabelSelector{
			"Deployment": d.Spec.Selector, "PodDisruptionBudget": budget.Spec.Selector, "NetworkPolicy": &policy.Spec.PodSelector,
			"Service": {MatchLabels: service.Spec.Selector},
		}
		for i, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
			selects["topologySpreadConstraints "+c.TopologyKey] = d.Spec.Template.Spec.TopologySpreadConstraints[i].LabelSelector
		}
		for what, s := range selects {
			selector, err := metav1.LabelSelectorAsSelector(s)
			if err != nil || selector.Empty() || !selector.Matches(pods) {
				t.Errorf("%s of %s selects %v, the pods have %v", what, name, selector, pods)
			}
		}
		for _, p := range service.Spec.Ports {
			wantPort(t, "Service "+name, d, p.TargetPort)
		}
		for _, rule := range policy.Spec.Ingress {
			for _, p := range rule.Ports {
				wantPort(t, "NetworkPolicy "+name, d, *p.Port)
			}
		}
		scaler := find[*autoscalingv2.HorizontalPodAutoscaler](t, all, "HorizontalPodAutoscaler gotapi-"+name)
		if ref := scaler.Spec.ScaleTargetRef; ref.Kind != "Deployment" || ref.Name != "gotapi-"+name || ref.APIVersion != "apps/v1" {
			t.Errorf("the HorizontalPodAutoscaler %s scales %+v", name, ref)
		}
		// A budget that allows no eviction blocks every drain of a node.
		replicas := int(*scaler.Spec.MinReplicas)
		if b := budget.Spec.MinAvailable; b != nil && b.IntValue() >= replicas {
			t.Errorf("PodDisruptionBudget %s: at least %v of %d", name, b, replicas)
		}
	}
	history := find[*corev1.Service](t, all, "Service gotapi-historysvc")
	if history.Spec.ClusterIP != corev1.ClusterIPNone {
		t.Errorf("Service historysvc has clusterIP %q: edges would see one address instead of all pods", history.Spec.ClusterIP)
	}
	if got, want := environment(t, all, "edge")["GOTAPI_HISTORY"], "dns:///gotapi-historysvc:5998"; got != want {
		t.Errorf("edges look for history services at %q, want %q", got, want)
	}
}

// container is the only container of a deployment.
func container(t *testing.T, d *appsv1.Deployment) corev1.Container {
	t.Helper()
	if n := len(d.Spec.Template.Spec.Containers); n != 1 {
		t.Fatalf("%s has %d containers", d.Name, n)
	}
	return d.Spec.Template.Spec.Containers[0]
}

func wantPort(t *testing.T, where string, d *appsv1.Deployment, port intstr.IntOrString) {
	t.Helper()
	for _, p := range container(t, d).Ports {
		if port.String() == p.Name || port.IntValue() == int(p.ContainerPort) {
			return
		}
	}
	t.Errorf("%s: the container of %s has no port %s", where, d.Name, port.String())
}

// exampleSecret is the Secret of secret.example.yaml.
func exampleSecret(t *testing.T) *corev1.Secret {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(manifests, "secret.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	secret, ok := decode(t, "secret.example.yaml", text).(*corev1.Secret)
	if !ok {
		t.Fatal("secret.example.yaml is no Secret")
	}
	return secret
}

// environment is that of a deployment's container, secrets as the example has them.
func environment(t *testing.T, all map[string]runtime.Object, name string) map[string]string {
	t.Helper()
	return environmentOf(t, all, releaseName, name)
}

func environmentOf(t *testing.T, all map[string]runtime.Object, release, name string) map[string]string {
	t.Helper()
	secret := exampleSecret(t)
	env := map[string]string{}
	for _, e := range container(t, find[*appsv1.Deployment](t, all, "Deployment "+release+"-"+name)).Env {
		if _, twice := env[e.Name]; twice {
			t.Errorf("%s: %s is set twice", name, e.Name)
		}
		env[e.Name] = e.Value
		if e.ValueFrom != nil {
			ref := e.ValueFrom.SecretKeyRef
			if env[e.Name] = secret.StringData[ref.Key]; ref.Name != secret.Name || env[e.Name] == "" {
				t.Errorf("%s: %s comes from key %s of secret %s, which the example lacks", name, e.Name, ref.Key, ref.Name)
			}
		}
	}
	return env
}

// mounted puts files of this machine in place of those that pods have from Secrets.
func mounted(t *testing.T, env map[string]string) {
	t.Helper()
	dir := t.TempDir()
	cert, key, err := selfSigned(dir)
	if err != nil {
		t.Fatal(err)
	}
	apiKeys, secret := filepath.Join(dir, "api-keys"), filepath.Join(dir, "secret")
	_, entry := run(t, nil, program(t, "edge"), "api-key", "backend")
	if err := errors.Join(os.WriteFile(apiKeys, []byte(entry), 0o600), os.WriteFile(secret, []byte(strings.Repeat("s", 64)), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, path := range env {
		switch {
		case !strings.HasPrefix(path, "/etc/gotapi/"):
		case strings.HasSuffix(name, "_CERT"), strings.HasSuffix(name, "_CA"):
			env[name] = cert
		case strings.HasSuffix(name, "_KEY"):
			env[name] = key
		case name == "GOTAPI_AUTH_API_KEYS_FILE":
			env[name] = apiKeys
		default:
			env[name] = secret
		}
	}
}

func TestTheProgramsKnowTheirSettings(t *testing.T) {
	for _, example := range append(examples(t), "") {
		all := with(t, strings.Fields(example)...)
		for _, name := range services {
			env := environment(t, all, name)
			mounted(t, env)
			checkSettings(t, "deploy/helm, example "+example, name, env)
		}
	}
}

func TestEveryMountedFileComesFromASecret(t *testing.T) {
	example := exampleSecret(t)
	for _, values := range append(examples(t), "") {
		all := with(t, strings.Fields(values)...)
		for _, name := range services {
			d := find[*appsv1.Deployment](t, all, "Deployment gotapi-"+name)
			c := container(t, d)
			files := map[string]bool{}
			for _, m := range c.VolumeMounts {
				i := slices.IndexFunc(d.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
				if !m.ReadOnly || i < 0 {
					t.Fatalf("%s: mount %s is writable, or of no volume", name, m.Name)
				}
				for _, source := range d.Spec.Template.Spec.Volumes[i].Projected.Sources {
					for _, item := range source.Secret.Items {
						files[filepath.Join(m.MountPath, item.Path)] = true
						if source.Secret.Name == example.Name && example.StringData[item.Key] == "" {
							t.Errorf("%s: the example of secret %s lacks %s", name, example.Name, item.Key)
						}
					}
				}
			}
			for _, e := range c.Env {
				if strings.HasPrefix(e.Value, "/") && !files[e.Value] {
					t.Errorf("%s: %s=%s is not mounted", name, e.Name, e.Value)
				}
				delete(files, e.Value)
			}
			if len(files) > 0 {
				t.Errorf("%s: nothing reads %v", name, files)
			}
		}
	}
}

func TestPodsStopInTheTimeTheyHave(t *testing.T) {
	all := with(t)
	for name, rest := range map[string]time.Duration{
		// edge.go: HTTP requests under way and the last members' acks, each the publish
		// timeout (5 s) and a second; 4 s and 5 s before what is left is cut off.
		"edge": 2*(5+1)*time.Second + 9*time.Second,
		// server.go: what is left after the drain is cut off at once.
		"historysvc": 5 * time.Second,
	} {
		d := find[*appsv1.Deployment](t, all, "Deployment gotapi-"+name)
		drain, err := time.ParseDuration(environment(t, all, name)["GOTAPI_DRAIN"])
		if err != nil {
			t.Errorf("%s: GOTAPI_DRAIN: %v", name, err)
		}
		pre := time.Duration(container(t, d).Lifecycle.PreStop.Sleep.Seconds) * time.Second
		grace := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
		if need := pre + drain + rest; grace < need {
			t.Errorf("%s: terminationGracePeriodSeconds is %v, stopping takes up to %v", name, grace, need)
		}
	}
}

func TestProbesAskWhatTheProcessServes(t *testing.T) {
	for _, example := range [][]string{nil, {"tls"}} {
		all := with(t, example...)
		for _, name := range services {
			d := find[*appsv1.Deployment](t, all, "Deployment gotapi-"+name)
			c := container(t, d)
			for what, probe := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
				switch {
				case probe == nil:
					t.Errorf("%s has no %s probe", name, what)
				case probe.GRPC != nil && probe.HTTPGet != nil:
					t.Errorf("%s: the %s probe asks in two ways", name, what)
				case probe.GRPC != nil:
					wantPort(t, what+" probe", d, intstr.FromInt32(probe.GRPC.Port))
					if example != nil {
						t.Errorf("%s: the kubelet speaks no TLS with gRPC", name)
					}
				default:
					wantPort(t, what+" probe", d, probe.HTTPGet.Port)
					if want := map[string]string{"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}[what]; probe.HTTPGet.Path != want {
						t.Errorf("%s: the %s probe asks %s, want %s: a process that only waits for Redis must not be restarted", name, what, probe.HTTPGet.Path, want)
					}
				}
			}
		}
	}
}

func TestPodsMeetTheRestrictedPodSecurityStandard(t *testing.T) {
	all := with(t, examples(t)...)
	namespace := find[*corev1.Namespace](t, render(t, manifests), "Namespace gotapi")
	if namespace.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Error("the namespace does not enforce the restricted standard")
	}
	for _, name := range services {
		pod := find[*appsv1.Deployment](t, all, "Deployment gotapi-"+name).Spec.Template.Spec
		c := container(t, find[*appsv1.Deployment](t, all, "Deployment gotapi-"+name))
		s, p := c.SecurityContext, pod.SecurityContext
		for what, ok := range map[string]bool{
			"runAsNonRoot":              *p.RunAsNonRoot && *p.RunAsUser > 0,
			"seccomp profile":           p.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
			"no privilege escalation":   !*s.AllowPrivilegeEscalation,
			"read-only root":            *s.ReadOnlyRootFilesystem,
			"no capabilities":           slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(s.Capabilities.Add) == 0,
			"no service account token":  !*pod.AutomountServiceAccountToken,
			"no host namespaces":        !pod.HostNetwork && !pod.HostPID && !pod.HostIPC,
			"memory limit and requests": !c.Resources.Limits.Memory().IsZero() && !c.Resources.Requests.Cpu().IsZero() && !c.Resources.Requests.Memory().IsZero(),
			"only volumes of secrets that only the group reads": !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool {
				return v.Projected == nil || *v.Projected.DefaultMode != 0o440 ||
					slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool { return s.Secret == nil })
			}),
		} {
			if !ok {
				t.Errorf("%s lacks: %s", name, what)
			}
		}
	}
}

func TestTrafficIsDeniedUnlessAPolicyAllowsIt(t *testing.T) {
	all := with(t)
	deny := find[*networkingv1.NetworkPolicy](t, render(t, manifests), "NetworkPolicy deny-all")
	if len(deny.Spec.PodSelector.MatchLabels)+len(deny.Spec.PodSelector.MatchExpressions)+len(deny.Spec.Ingress)+len(deny.Spec.Egress) > 0 || len(deny.Spec.PolicyTypes) != 2 {
		t.Errorf("deny-all is %+v", deny.Spec)
	}
	// Only edges and chosen namespaces reach the history services.
	egress := find[*networkingv1.NetworkPolicy](t, all, "NetworkPolicy gotapi-edge").Spec.Egress
	if len(egress) == 0 || slices.ContainsFunc(egress, func(r networkingv1.NetworkPolicyEgressRule) bool { return len(r.To) == 0 }) {
		t.Errorf("edges may connect to %+v, want only what is named", egress)
	}
	ingress := find[*networkingv1.NetworkPolicy](t, all, "NetworkPolicy gotapi-historysvc").Spec.Ingress
	if len(ingress) == 0 || slices.ContainsFunc(ingress, func(r networkingv1.NetworkPolicyIngressRule) bool { return len(r.From) == 0 }) {
		t.Errorf("history services accept connections from %+v, want only what is named", ingress)
	}
}
