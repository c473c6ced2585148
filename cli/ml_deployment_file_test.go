package cli

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/alvara-ml/alvara/cli/document"
)

func readDeployment(t *testing.T, text string) (*document.Object, error) {
	t.Helper()
	given, err := document.DecodeYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return jobFile{folder: "folder", assets: named{}}.deployment(given)
}

// Deployments of files become those of the wire, and what is shown of them becomes the same deployment again.
func TestDeploymentsOfFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/deployments/*.txtar")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := readDeployment(t, string(archive.Files[0].Data))
			if err != nil {
				t.Fatal(err)
			}
			want := string(archive.Files[1].Data)
			sameJSON(t, got, want)
			got.Set("name", "blue").Set("id", testWorkspace+"/onlineEndpoints/fraud/deployments/blue")
			text, err := document.EncodeYAML(deploymentFile(got))
			if err != nil {
				t.Fatal(err)
			}
			again, err := readDeployment(t, string(text))
			if err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			sameJSON(t, again, want)
			shown := deploymentDocument(got)
			if shown.Text("endpoint_name") != "fraud" || shown.Text("name") != "blue" {
				t.Errorf("shown is %v", shown.Keys())
			}
		})
	}
}

func TestDeploymentsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"type: batch": `type is "batch"`, "data_collector: {}": "data_collector is unknown", "instance_count: 0": "instance_count is 0", "model: azureml:m": "azureml:NAME:VERSION",
		"model: [a]": "a mapping with path was expected", "model: {type: x, path: m}": `type is "x"`, "model: {type: custom_model}": "has no path",
		"code_configuration: a": "code_configuration is no mapping", "code_configuration: {code: src}": "no scoring_script",
		"liveness_probe: {period: -1}": "liveness_probe.period is -1", "liveness_probe: {path: /}": "path is unknown", "readiness_probe: 5": "readiness_probe is no mapping",
		"request_settings: {request_timeout: 5}": "request_timeout is unknown", "scale_settings: {type: auto}": `scale_settings.type is "auto"`, "scale_settings: {type: default, min_instances: 1}": "min_instances is unknown",
		"resources: {requests: {disk: 1}}": "disk is unknown", "environment: serve": "azureml:NAME:VERSION",
	} {
		if got, err := readDeployment(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v and %v; the refusal says nothing of %q", text, got, err, want)
		}
	}
}

func TestDurationsInUnits(t *testing.T) {
	for _, c := range []struct {
		text string
		unit time.Duration
		want any
	}{
		{"PT5S", time.Second, 5}, {"PT1M30S", time.Second, 90}, {"PT0.5S", time.Millisecond, 500}, {"PT0.5S", time.Second, nil}, {"PT3.5S", time.Millisecond, 3500},
		{"", time.Second, nil}, {"5", time.Second, nil}, {"P1D", time.Second, 86400},
	} {
		if got := inUnits(c.text, c.unit); got != c.want {
			t.Errorf("%s in %v: %v; want %v", c.text, c.unit, got, c.want)
		}
	}
}

func TestEndpointsOfFiles(t *testing.T) {
	const identity = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
	for text, want := range map[string]string{
		"name: e": `{"properties":{"authMode":"AADToken"}}`,
		"name: e\nauth_mode: key\ndescription: d\ntags: {a: 1}\nproperties: {b: c}\ntraffic: {blue: 90, green: 10}": `{"tags":{"a":"1"},"properties":{"authMode":"Key","description":"d","properties":{"b":"c"},"traffic":{"blue":90,"green":10}}}`,
		"name: e\nauth_mode: aml_token\ncompute: azureml:k8s\nlocation: eastus\nidentity: {type: user_assigned, user_assigned_identities: [{resource_id: " + identity + "}]}": `{"location":"eastus",
			"identity":{"type":"UserAssigned","userAssignedIdentities":{"` + identity + `":{}}},"properties":{"authMode":"AMLToken","compute":"/W/computes/k8s"}}`,
		"name: e\ntraffic: {}\nmirror_traffic: {green: 10}\npublic_network_access: disabled": `{"properties":{"authMode":"AADToken","traffic":{},"mirrorTraffic":{"green":10},"publicNetworkAccess":"disabled"}}`,
	} {
		given, err := document.DecodeYAML([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got, err := endpointBody(given, named{})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		sameJSON(t, got, want)
		if strings.Contains(text, "traffic: {}") {
			continue // no shares and none said are the same
		}
		again, err := endpointBody(endpointFile(got.Set("name", "e")), named{})
		if err != nil {
			t.Errorf("%q again: %v", text, err)
			continue
		}
		sameJSON(t, again, want)
	}
	for text, want := range map[string]string{
		"auth_mode: password": `auth_mode is "password"`, "kind: Managed": "kind is unknown", "traffic: {blue: much}": "traffic.blue is much", "traffic: [a]": "traffic is no mapping",
		"compute: local": "azureml:NAME was expected", "identity: {type: me}": "identity.type",
	} {
		given, err := document.DecodeYAML([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := endpointBody(given, named{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v and %v", text, got, err)
		}
	}
}

func TestTrafficOfFlags(t *testing.T) {
	for given, want := range map[string]string{"blue=90 green=10": `{"blue":90,"green":10}`, "blue=100%": `{"blue":100}`, "a=1,b=99": `{"a":1,"b":99}`} {
		got, err := trafficOf([]string{given})
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		sameJSON(t, got, want)
	}
	for _, bad := range []string{"blue", "blue=x", "=5", "blue=101", "blue=-1"} {
		if got, err := trafficOf([]string{bad}); err == nil {
			t.Errorf("%s is %v", bad, got)
		}
	}
}
