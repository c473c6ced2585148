package containerregistry

import (
	"context"

	"github.com/alvara-ml/alvara/arm"
)

// listUsages tells what the registry holds beside what it may.
func (d Deps) listUsages(ctx context.Context, _ *arm.Call, r *arm.Resource[Registry]) (any, error) {
	tier, err := readSKU(r.SKU)
	if err != nil {
		return nil, err
	}
	held := int64(0)
	if r.Properties.Own != nil {
		if held, err = d.Usage(ctx, r.Properties.Own.Key); err != nil {
			return nil, err
		}
	}
	quota := quotas[tier.Name]
	return map[string]any{"value": []any{
		map[string]any{"name": "Size", "limit": quota.bytes, "currentValue": held, "unit": "Bytes"},
		map[string]any{"name": "Webhooks", "limit": quota.webhooks, "currentValue": 0, "unit": "Count"},
	}}, nil
}
