package storage

import (
	"context"
	"regexp"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// Service is the properties of an account's blob service.
type Service struct {
	DeleteRetentionPolicy map[string]any `json:"deleteRetentionPolicy,omitempty"`
}

// Services declares the blob service, which every account has, under the name default.
func Services() arm.Type {
	return arm.Define(arm.Spec[Service]{
		Type: serviceType, APIVersions: apiVersions, Created: 200, Permanent: true,
		Name: regexp.MustCompile(`^default$`), NameRule: "default",
	})
}

// Container is the properties of a container.
type Container struct {
	PublicAccess string            `json:"publicAccess"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	Incarnation  string            `json:"incarnation,omitempty"` // names its bytes; never shown
}

// Containers declares containers. Those made on the blob plane are the same resources.
func (d Deps) Containers() arm.Type {
	return arm.Define(arm.Spec[Container]{
		Type: containerType, APIVersions: apiVersions,
		Name:     regexp.MustCompile(`^(\$root|\$web|\$logs|[a-z0-9](-?[a-z0-9]){2,62})$`),
		NameRule: "3 to 63 lower-case letters, digits and single hyphens, beginning and ending with a letter or digit",
		Validate: func(_ context.Context, change *arm.Change[Container]) error {
			p := &change.Next.Properties
			if p.PublicAccess != "" && p.PublicAccess != "None" {
				return resource.Errorf(resource.Unsupported, "PublicAccessNotPermitted", "properties.publicAccess is %q; only None is offered", p.PublicAccess).At("properties.publicAccess")
			}
			p.PublicAccess, p.Incarnation = "None", uuid.NewString()
			if change.Prev != nil {
				p.Incarnation = change.Prev.Properties.Incarnation
			}
			return nil
		},
		Present: func(_ context.Context, _ *arm.Call, r *arm.Resource[Container]) { r.Properties.Incarnation = "" },
		Deleted: func(ctx context.Context, r *arm.Resource[Container]) error {
			return d.Drop(ctx, r.Properties.Incarnation)
		},
	})
}
