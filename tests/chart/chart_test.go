// SPDX-License-Identifier: Apache-2.0

// Package chart renders the Helm chart as Helm does and decodes what comes out strictly into the types of Kubernetes' API: a
// misspelt field is an error, as it would be for a server that validates.
package chart

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/yaml"
)

const (
	root = "../.."
	dir  = root + "/distributions/otelcol-qpoint/helm/otelcol-qpoint"
)

// needed are the values without which there is nothing to install.
const needed = `
agent: {tokenSecret: token, environment: test, s3: {bucket: payloads}}
pulse: {tokensSecret: tokens, tlsSecret: tls}
`

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(dir)
	require.NoError(t, err)
	return c
}

// render is `helm template`: values are merged over the chart's, checked by the schema, and put in.
func render(t *testing.T, values string) (map[string]string, error) {
	t.Helper()
	var v map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(values), &v))
	c := load(t)
	all, err := chartutil.ToRenderValues(c, v, chartutil.ReleaseOptions{Name: "seen", Namespace: "observability", Revision: 1, IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// objects decodes every document of what was rendered.
func objects(t *testing.T, values string) []runtime.Object {
	t.Helper()
	files, err := render(t, values)
	require.NoError(t, err)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, rbacv1.AddToScheme} {
		require.NoError(t, add(scheme))
	}
	decode := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var all []runtime.Object
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for doc := range strings.SplitSeq(files[name], "\n---\n") {
			if strings.TrimSpace(doc) == "" || strings.HasSuffix(name, ".tpl") {
				continue
			}
			o, _, err := decode.Decode([]byte(doc), nil, nil)
			require.NoError(t, err, "%s:\n%s", name, doc)
			require.NotEqual(t, schema.GroupVersionKind{}, o.GetObjectKind().GroupVersionKind())
			all = append(all, o)
		}
	}
	return all
}

func pick[T any](t *testing.T, all []runtime.Object) []T {
	t.Helper()
	var found []T
	for _, o := range all {
		if v, ok := o.(T); ok {
			found = append(found, v)
		}
	}
	return found
}

func TestScenarios(t *testing.T) {
	for name, tc := range map[string]struct {
		values string
		kinds  map[string]int
	}{
		"both": {needed, map[string]int{"DaemonSet": 1, "StatefulSet": 1, "ConfigMap": 2, "ServiceAccount": 2, "Service": 1, "NetworkPolicy": 1, "ClusterRole": 1, "ClusterRoleBinding": 1}},
		"agents alone": {`
agent: {tokenSecret: token, environment: test, caSecret: ca, pulseEndpoint: "pulse.example.com:4317", s3: {bucket: b, endpoint: "https://s3.example.com", credentialsSecret: keys}, extraCapabilities: [SYS_RESOURCE]}
pulse: {enabled: false}
`, map[string]int{"DaemonSet": 1, "ConfigMap": 1, "ServiceAccount": 1}},
		"gateway alone": {`
agent: {enabled: false}
pulse: {tokensSecret: tokens, tlsSecret: tls, storage: {size: 1Ti, className: fast}, tolerations: [{key: a, operator: Exists}]}
networkPolicy: {from: [{namespaceSelector: {matchLabels: {a: b}}}]}
`, map[string]int{"StatefulSet": 1, "ConfigMap": 1, "ServiceAccount": 1, "Service": 1, "NetworkPolicy": 1, "ClusterRole": 1, "ClusterRoleBinding": 1}},
		"no policy, own settings": {needed + "networkPolicy: {enabled: false}\nglobal: {}\n",
			map[string]int{"DaemonSet": 1, "StatefulSet": 1, "ConfigMap": 2, "ServiceAccount": 2, "Service": 1, "ClusterRole": 1, "ClusterRoleBinding": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			kinds := map[string]int{}
			for _, o := range objects(t, tc.values) {
				kinds[o.GetObjectKind().GroupVersionKind().Kind]++
			}
			require.Equal(t, tc.kinds, kinds)
		})
	}
}

// TestBadValues: what is missing or misspelt is named before anything is installed.
func TestBadValues(t *testing.T) {
	for name, tc := range map[string]struct{ values, message string }{
		"no bucket":      {"agent: {tokenSecret: t, environment: e}\npulse: {tokensSecret: t, tlsSecret: t}", "agent.s3.bucket"},
		"no token":       {"agent: {environment: e, s3: {bucket: b}}\npulse: {tokensSecret: t, tlsSecret: t}", "agent.tokenSecret"},
		"no tokens":      {"agent: {tokenSecret: t, environment: e, s3: {bucket: b}}\npulse: {tlsSecret: t}", "pulse.tokensSecret"},
		"no certificate": {"agent: {tokenSecret: t, environment: e, s3: {bucket: b}}\npulse: {tokensSecret: t}", "pulse.tlsSecret"},
		"no environment": {"agent: {tokenSecret: t, s3: {bucket: b}}\npulse: {tokensSecret: t, tlsSecret: t}", "agent.environment"},
		"no gateway":     {"agent: {tokenSecret: t, environment: e, s3: {bucket: b}}\npulse: {enabled: false}", "agent.pulseEndpoint"},
		"misspelt":       {needed + "agents: {}", "agents"},
		"wrong type":     {"agent: {enabled: 3}", "enabled"},
		"not a secret":   {"agent: {tokenSecret: 'a b', s3: {bucket: b}}\npulse: {tokensSecret: t, tlsSecret: t}", "tokenSecret"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := render(t, tc.values)
			require.ErrorContains(t, err, tc.message)
		})
	}
}

// TestAgentRights: no privileged container, the documented capabilities and no others, nothing writable but its data.
func TestAgentRights(t *testing.T) {
	ds := pick[*appsv1.DaemonSet](t, objects(t, needed))[0].Spec.Template.Spec
	require.True(t, ds.HostPID)
	require.False(t, ds.HostNetwork)
	require.False(t, ds.HostIPC)
	require.False(t, *ds.AutomountServiceAccountToken)
	require.Len(t, ds.Containers, 1)
	c := ds.Containers[0]
	require.False(t, *c.SecurityContext.Privileged)
	require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
	require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
	require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
	var unit []corev1.Capability
	text, err := os.ReadFile(filepath.Join(root, "distributions/otelcol-qpoint/package/otelcol-qpoint-agent.service"))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if caps, ok := strings.CutPrefix(strings.TrimSpace(line), "AmbientCapabilities="); ok {
			for name := range strings.FieldsSeq(caps) {
				unit = append(unit, corev1.Capability(strings.TrimPrefix(name, "CAP_")))
			}
		}
	}
	require.Equal(t, unit, c.SecurityContext.Capabilities.Add, "the systemd unit's")
	require.Contains(t, c.Env, corev1.EnvVar{Name: "K8S_NODE_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}})
	for _, m := range c.VolumeMounts {
		require.Equal(t, m.MountPath != "/var/lib/otelcol-qpoint", m.ReadOnly, m.MountPath)
	}
}

// TestGatewayRights: the gateway captures nothing and needs no rights.
func TestGatewayRights(t *testing.T) {
	all := objects(t, needed)
	pod := pick[*appsv1.StatefulSet](t, all)[0].Spec.Template.Spec
	require.True(t, *pod.SecurityContext.RunAsNonRoot)
	require.False(t, pod.HostPID || pod.HostNetwork || pod.HostIPC)
	require.Equal(t, []corev1.Capability{"ALL"}, pod.Containers[0].SecurityContext.Capabilities.Drop)
	require.Empty(t, pod.Containers[0].SecurityContext.Capabilities.Add)
	for _, rule := range pick[*rbacv1.ClusterRole](t, all)[0].Rules {
		require.Equal(t, []string{"get", "list", "watch"}, rule.Verbs)
		require.NotContains(t, rule.Resources, "secrets")
	}
}

// TestSecretsByReference: no value of the chart is a secret, and no object that it makes is one.
func TestSecretsByReference(t *testing.T) {
	all := objects(t, needed)
	require.Empty(t, pick[*corev1.Secret](t, all))
	names := map[string]bool{}
	for _, spec := range []corev1.PodSpec{pick[*appsv1.DaemonSet](t, all)[0].Spec.Template.Spec, pick[*appsv1.StatefulSet](t, all)[0].Spec.Template.Spec} {
		for _, v := range spec.Volumes {
			if v.Secret != nil {
				names[v.Secret.SecretName] = true
			}
		}
	}
	require.Equal(t, map[string]bool{"token": true, "tokens": true, "tls": true}, names)
}

// TestConfigsAreTheShipped: what the chart mounts is what the distribution ships and its end-to-end tests run, to the byte.
func TestConfigsAreTheShipped(t *testing.T) {
	for _, m := range pick[*corev1.ConfigMap](t, objects(t, needed)) {
		for name, text := range m.Data {
			if name == "overrides.yaml" {
				require.Equal(t, "{}", strings.TrimSpace(text))
				continue
			}
			shipped, err := os.ReadFile(filepath.Join(root, "distributions/otelcol-qpoint/configs", name))
			require.NoError(t, err)
			require.Equal(t, strings.TrimSpace(string(shipped)), strings.TrimSpace(text), name)
		}
	}
}
