package graph

import (
	"context"
	"slices"
	"strings"
	"time"
)

type organizationView struct {
	ID              string       `json:"id"`
	DisplayName     string       `json:"displayName"`
	TenantType      string       `json:"tenantType"`
	VerifiedDomains []domainName `json:"verifiedDomains"`
}

type domainName struct {
	Name      string `json:"name"`
	IsDefault bool   `json:"isDefault"`
	IsInitial bool   `json:"isInitial"`
	Type      string `json:"type"`
}

type domainView struct {
	ID                 string   `json:"id"`
	AuthenticationType string   `json:"authenticationType"`
	IsAdminManaged     bool     `json:"isAdminManaged"`
	IsDefault          bool     `json:"isDefault"`
	IsInitial          bool     `json:"isInitial"`
	IsRoot             bool     `json:"isRoot"`
	IsVerified         bool     `json:"isVerified"`
	SupportedServices  []string `json:"supportedServices"`
}

// domains are those that users sign in with; the first user's is the default.
func (s *Server) domains() (names []string, first string) {
	var oldest time.Time
	for _, user := range s.Directory.Users() {
		_, domain, _ := strings.Cut(strings.ToLower(user.UserPrincipalName), "@")
		if !slices.Contains(names, domain) {
			names = append(names, domain)
		}
		if first == "" || user.Created.Before(oldest) {
			first, oldest = domain, user.Created
		}
	}
	slices.Sort(names)
	return names, first
}

func getOrganization(s *Server, _ context.Context, q *request) (answer, error) {
	names, first := s.domains()
	v := organizationView{ID: s.Directory.TenantID(), DisplayName: "Alvara", TenantType: "AAD", VerifiedDomains: []domainName{}}
	for _, name := range names {
		v.VerifiedDomains = append(v.VerifiedDomains, domainName{name, name == first, name == first, "Managed"})
	}
	return answer{body: collection{Context: q.base() + "/$metadata#organization", Value: []any{v}}}, nil
}

func listDomains(s *Server, _ context.Context, q *request) (answer, error) {
	names, first := s.domains()
	out := collection{Context: q.base() + "/$metadata#domains", Value: []any{}}
	for _, name := range names {
		out.Value = append(out.Value, domainView{name, "Managed", true, name == first, name == first, true, true, []string{}})
	}
	return answer{body: out}, nil
}
