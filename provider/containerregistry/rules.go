package containerregistry

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// check refuses what is not offered, by name, and sets defaults.
func (p *Registry) check(prev Registry, now time.Time) error {
	if p.AnonymousPullEnabled {
		return refused("properties.anonymousPullEnabled", "anonymous pull is not offered; grant AcrPull to who should pull")
	}
	if p.Encryption != nil {
		if err := choose("properties.encryption.status", &p.Encryption.Status, "disabled", "enabled"); err != nil {
			return err
		}
		if p.Encryption.Status == "enabled" || len(p.Encryption.KeyVaultProperties) > 0 {
			return refused("properties.encryption", "encryption with a key of your own is not offered yet; leave it out, or set its status to disabled")
		}
	}
	if err := choose("properties.publicNetworkAccess", &p.PublicNetworkAccess, "Enabled", "Disabled"); err != nil {
		return err
	}
	if p.PublicNetworkAccess == "Disabled" {
		return refused("properties.publicNetworkAccess", "there are no private endpoints, so Disabled would leave no way to the registry; leave it Enabled, and bind the server to the address that clients may reach")
	}
	if rules := p.NetworkRuleSet; rules != nil {
		if err := choose("properties.networkRuleSet.defaultAction", &rules.DefaultAction, "Allow", "Deny"); err != nil {
			return err
		}
		if rules.DefaultAction == "Deny" {
			return refused("properties.networkRuleSet.defaultAction", "network rules are not enforced here; leave it Allow, and keep other machines away with a firewall")
		}
	}
	if err := choose("properties.networkRuleBypassOptions", &p.NetworkRuleBypassOptions, "AzureServices", "None"); err != nil {
		return err
	}
	if err := choose("properties.zoneRedundancy", &p.ZoneRedundancy, "Disabled", "Enabled"); err != nil {
		return err
	}
	if err := choose("properties.roleAssignmentMode", &p.RoleAssignmentMode, "LegacyRegistryPermissions", "AbacRepositoryPermissions"); err != nil {
		return err
	}
	if p.RoleAssignmentMode == "AbacRepositoryPermissions" {
		return refused("properties.roleAssignmentMode", "roles on one repository work without it, and roles on the registry such as AcrPull keep their effect beside them; leave it out")
	}
	if p.Policies == nil {
		p.Policies = &Policies{}
	}
	return p.Policies.check(prev.Policies, now)
}

// Policies are a registry's. One that is not carried out here is taken only in the form that asks for nothing.
type Policies struct {
	Retention  *RetentionPolicy  `json:"retentionPolicy,omitempty"`
	Quarantine *Policy           `json:"quarantinePolicy,omitempty"`
	Trust      *TrustPolicy      `json:"trustPolicy,omitempty"`
	Export     *Policy           `json:"exportPolicy,omitempty"`
	AuthAsARM  *Policy           `json:"azureADAuthenticationAsArmPolicy,omitempty"`
	SoftDelete *SoftDeletePolicy `json:"softDeletePolicy,omitempty"`
}

// Policy is one that is either enabled or disabled.
type Policy struct {
	Status string `json:"status,omitempty"`
}

// TrustPolicy is content trust.
type TrustPolicy struct {
	Type   string `json:"type,omitempty"`
	Status string `json:"status,omitempty"`
}

// SoftDeletePolicy keeps what was deleted for a while.
type SoftDeletePolicy struct {
	RetentionDays   *int   `json:"retentionDays,omitempty"`
	LastUpdatedTime string `json:"lastUpdatedTime,omitempty"`
	Status          string `json:"status,omitempty"`
}

// RetentionPolicy says for how many days manifests without a tag are kept; disabled, they stay.
type RetentionPolicy struct {
	Days            *int   `json:"days,omitempty"`
	LastUpdatedTime string `json:"lastUpdatedTime,omitempty"`
	Status          string `json:"status,omitempty"`
}

// days is for how many days manifests without a tag are kept; 0 keeps them.
func (p *Policies) days() int {
	if p == nil || p.Retention == nil || p.Retention.Status != "enabled" || p.Retention.Days == nil {
		return 0
	}
	return *p.Retention.Days
}

const (
	defaultRetentionDays = 7
	maxRetentionDays     = 365
)

func (p *Policies) check(prev *Policies, now time.Time) error {
	set(&p.Retention, RetentionPolicy{})
	set(&p.Quarantine, Policy{})
	set(&p.Trust, TrustPolicy{})
	set(&p.Export, Policy{Status: "enabled"})
	set(&p.AuthAsARM, Policy{Status: "enabled"})
	set(&p.SoftDelete, SoftDeletePolicy{})
	const at = "properties.policies."
	for _, policy := range []struct {
		name, usual, other string
		status             *string
		why                string // why the other status is not offered; "" when it is
	}{
		{"retentionPolicy", "disabled", "enabled", &p.Retention.Status, ""},
		{"quarantinePolicy", "disabled", "enabled", &p.Quarantine.Status, "images are not quarantined here; leave it disabled"},
		{"trustPolicy", "disabled", "enabled", &p.Trust.Status, "content trust (Notary v1) is not offered; sign images with notation or cosign, whose signatures are kept as referrers"},
		{"exportPolicy", "enabled", "disabled", &p.Export.Status, "exports cannot be forbidden apart from pulls; leave it enabled, and grant AcrPull to no more than who should pull"},
		{"azureADAuthenticationAsArmPolicy", "enabled", "disabled", &p.AuthAsARM.Status, "tokens for the resource manager are always taken; leave it enabled"},
		{"softDeletePolicy", "disabled", "enabled", &p.SoftDelete.Status, "what is deleted is gone at once; leave it disabled"},
	} {
		if err := choose(at+policy.name+".status", policy.status, policy.usual, policy.other); err != nil {
			return err
		}
		if *policy.status == policy.other && policy.why != "" {
			return refused(at+policy.name+".status", policy.why)
		}
	}
	if p.Trust.Type == "" {
		p.Trust.Type = "Notary"
	}
	return p.Retention.check(prev, now)
}

func (r *RetentionPolicy) check(prev *Policies, now time.Time) error {
	days := defaultRetentionDays
	if r.Days != nil {
		days = *r.Days
	}
	if days < 1 || days > maxRetentionDays {
		return resource.Invalidf("InvalidRetentionPolicy", "properties.policies.retentionPolicy.days is %d; a number from 1 to %d was expected", days, maxRetentionDays).At("properties.policies.retentionPolicy.days")
	}
	r.Days = &days
	r.LastUpdatedTime = now.Format(timeFormat)
	if prev != nil && prev.Retention != nil && prev.Retention.Status == r.Status && prev.Retention.Days != nil && *prev.Retention.Days == days {
		r.LastUpdatedTime = prev.Retention.LastUpdatedTime
	}
	return nil
}

func set[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// choose reads a word that is one of two, in any case, into its own spelling; the first is the default.
func choose(field string, word *string, usual, other string) error {
	for _, known := range []string{usual, other} {
		if strings.EqualFold(*word, known) || *word == "" {
			*word = known
			return nil
		}
	}
	return resource.Invalidf("InvalidRequestContent", "%s is %q; %s or %s was expected", field, *word, usual, other).At(field)
}

func refused(field, why string) error {
	return resource.Errorf(resource.Unsupported, "NotSupported", "%s: %s", field, why).At(field)
}

// sku is a registry's service tier.
type sku struct {
	Name string `json:"name"`
	Tier string `json:"tier"`
}

// quotas are how many bytes a registry of a tier may hold, and how many webhooks it may have.
var quotas = map[string]struct{ bytes, webhooks int64 }{
	"Basic": {10 << 30, 2}, "Standard": {100 << 30, 10}, "Premium": {500 << 30, 500},
}

func readSKU(raw json.RawMessage) (sku, error) {
	const expected = "Basic, Standard or Premium was expected"
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return sku{}, resource.Invalidf("MissingSku", "sku is missing; %s, as in {\"sku\":{\"name\":\"Basic\"}}", expected).At("sku")
	}
	var given struct {
		Name *string `json:"name"`
	}
	if err := json.Unmarshal(raw, &given); err != nil || given.Name == nil {
		return sku{}, resource.Invalidf("InvalidSku", "sku has no name; %s", expected).At("sku.name")
	}
	for name := range quotas {
		if strings.EqualFold(name, *given.Name) {
			return sku{Name: name, Tier: name}, nil
		}
	}
	return sku{}, resource.Invalidf("InvalidSku", "sku.name is %q; %s", *given.Name, expected).At("sku.name")
}

func (s sku) raw() json.RawMessage {
	text, _ := json.Marshal(s) // two strings
	return text
}
