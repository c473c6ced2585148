package cli

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// Tables of computes show what instances and nodes do, and not only how their making ended.
func TestStatesOfComputes(t *testing.T) {
	p := newPlant(t, map[string]http.HandlerFunc{
		"GET " + fakeWorkspace + "/computes": says(200, `{"value":[
			{"name":"stopped","properties":{"computeType":"ComputeInstance","provisioningState":"Succeeded","properties":{"state":"Stopped"}}},
			{"name":"broken","properties":{"computeType":"ComputeInstance","provisioningState":"Failed","properties":{"state":"Running"}}},
			{"name":"busy","properties":{"computeType":"AmlCompute","provisioningState":"Succeeded","properties":{"currentNodeCount":3,"scaleSettings":{"maxNodeCount":4},
				"nodeStateCounts":{"idleNodeCount":1,"runningNodeCount":2,"preparingNodeCount":0}}}},
			{"name":"empty","properties":{"computeType":"AmlCompute","provisioningState":"Succeeded","properties":{"currentNodeCount":0,"scaleSettings":{"maxNodeCount":2}}}}]}`),
	})
	var rows []string
	for _, line := range strings.Split(p.ok(t, "ml compute list -w ws -g rg1 -o table"), "\n") {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	for _, want := range []string{"stopped computeinstance Stopped", "broken computeinstance Failed", "busy amlcompute Succeeded 3 of 4 (2 running, 1 idle)", "empty amlcompute Succeeded 0 of 2"} {
		if !strings.Contains("\n"+strings.Join(rows, "\n")+"\n", "\n"+want+"\n") {
			t.Errorf("no row %q in\n%s", want, strings.Join(rows, "\n"))
		}
	}
}

// Identities that a change takes away are told.
func TestIdentitiesThatComputesLose(t *testing.T) {
	const id = "/subscriptions/s/resourceGroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
	compute := fakeWorkspace + "/computes/cpu"
	had := ""
	p := newPlant(t, map[string]http.HandlerFunc{
		"GET " + compute:   func(w http.ResponseWriter, r *http.Request) { says(200, had)(w, r) },
		"PATCH " + compute: says(200, `{"name":"cpu","properties":{"provisioningState":"Succeeded"}}`),
	})
	const system, user = `{"identity":{"type":"SystemAssigned"}}`, `{"identity":{"type":"UserAssigned","userAssignedIdentities":{"` + id + `":{}}}}`
	for _, c := range []struct{ had, line, want string }{
		{system, "--identity-type UserAssigned -i " + id, "the system-assigned identity of cpu is replaced"},
		{system, "--identity-type None", "the system-assigned identity of cpu is replaced"},
		{user, "--identity-type SystemAssigned", "the identity " + id + " is replaced"},
		{system, "--identity-type SystemAssigned", ""},
		{system, "--max-instances 3", ""},
	} {
		had = c.had
		code, _, stderr := p.run(t.Context(), "ml compute update -n cpu -w ws -g rg1 "+c.line)
		if code != ExitOK || !strings.Contains(stderr, c.want) || (c.want == "") != (stderr == "") {
			t.Errorf("%s: %d, %s", c.line, code, stderr)
		}
	}
}

// A file of a compute that is not offered is refused by its type.
func TestTypesOfComputesInFiles(t *testing.T) {
	p := newPlant(t, nil)
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{
		"spark.yml":   "name: a\ntype: synapsespark\nresource_id: /x\nidentity: {type: system_assigned}\n",
		"vm.yml":      "name: a\ntype: virtualmachine\nresource_id: /x\nssh_settings: {admin_username: a}\n",
		"k8s.yml":     "name: a\ntype: kubernetes\nresource_id: /x\nnamespace: ml\n",
		"cluster.yml": "name: a\ntype: amlcompute\nsize: s\n",
		"field.yml":   "name: a\ntype: amlcompute\nresource_id: /x\n",
	})
	for line, want := range map[string]string{
		"create spark": `type is "synapsespark"`, "create vm": `type is "virtualmachine"`, "create k8s": "alvara ml compute attach -f FILE", "create field": "resource_id is unknown here",
		"attach vm": `type is "virtualmachine"`, "attach cluster": "alvara ml compute create -f FILE",
	} {
		command, file, _ := strings.Cut(line, " ")
		code, _, stderr := p.run(t.Context(), "ml compute "+command+" -w ws -g rg1 -f "+filepath.Join(dir, file+".yml"))
		if code != ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d, %s", line, code, stderr)
		}
	}
}
