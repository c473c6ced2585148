package machinelearning

import (
	"context"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// diagnosed is one line of a diagnosis: Level is Warning, Error or Information.
type diagnosed struct {
	Code    string `json:"code"`
	Level   string `json:"level"`
	Message string `json:"message"`
}

// diagnose tells what the doctor finds in the shape of the original's diagnosis: lists by what they are about. Empty lists are
// good news.
func (d Deps) diagnose(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace]) (any, error) {
	e, err := d.examine(ctx, call, r)
	if err != nil {
		return nil, err
	}
	results := map[string][]diagnosed{}
	for _, name := range []string{"userDefinedRouteResults", "networkSecurityRuleResults", "resourceLockResults", "dnsResolutionResults",
		"storageAccountResults", "keyVaultResults", "containerRegistryResults", "applicationInsightsResults", "otherResults"} {
		results[name] = []diagnosed{}
	}
	words := map[string]string{levelError: "Error", levelWarning: "Warning", levelInfo: "Information"}
	for _, f := range e.findings {
		message := f.Message
		if len(f.Cure) > 0 {
			message += " Cure it with: " + strings.Join(f.Cure, "; ")
		}
		where := f.results()
		results[where] = append(results[where], diagnosed{f.ID, words[f.Level], message})
	}
	return map[string]any{"value": results}, nil
}

// results is the list of a diagnosis to which a finding belongs.
func (f Finding) results() string {
	if f.place != "" {
		return f.place
	}
	id, err := resource.ParseID(f.What)
	if err != nil {
		return "otherResults"
	}
	for _, of := range []struct {
		t    resource.Type
		name string
	}{
		{storageAccountType, "storageAccountResults"}, {containerType, "storageAccountResults"}, {vaultType, "keyVaultResults"},
		{registryType, "containerRegistryResults"}, {insightsType, "applicationInsightsResults"},
	} {
		if id.Type().Is(of.t) {
			return of.name
		}
	}
	return "otherResults"
}
