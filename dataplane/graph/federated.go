package graph

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

type federatedView struct {
	annotations
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Issuer      string   `json:"issuer"`
	Subject     string   `json:"subject"`
	Description *string  `json:"description"`
	Audiences   []string `json:"audiences"`
}

func viewFederated(_ *identity.Directory, c *identity.FederatedCredential) view {
	return &federatedView{ID: c.ID, Name: c.Name, Issuer: c.Issuer, Subject: c.Subject, Description: orNull(c.Description), Audiences: c.Audiences}
}

var federatedCredentials = &entity[identity.FederatedCredential]{
	properties: map[string]kind{"id": text, "name": text, "issuer": text, "subject": text},
	value: func(_ *identity.Directory, c *identity.FederatedCredential, property string) any {
		switch property {
		case "id":
			return c.ID
		case "name":
			return c.Name
		case "issuer":
			return c.Issuer
		}
		return c.Subject
	},
	id:   func(c *identity.FederatedCredential) string { return c.ID },
	view: viewFederated,
}

func federatedPath(a identity.ApplicationObject) string {
	return "applications/" + a.ID + "/federatedIdentityCredentials"
}

func listFederated(s *Server, _ context.Context, q *request) (answer, error) {
	a, err := s.application(q)
	if err != nil {
		return answer{}, err
	}
	list := a.FederatedCredentials
	slices.SortFunc(list, func(x, y identity.FederatedCredential) int { return strings.Compare(x.ID, y.ID) })
	return listed(s, q, federatedCredentials, federatedPath(a), false, func() []identity.FederatedCredential { return list }, nil)
}

// federatedAt finds the credential that the path names by id or name.
func federatedAt(list []identity.FederatedCredential, at variable) int {
	return slices.IndexFunc(list, func(c identity.FederatedCredential) bool {
		if at.key != "" {
			return strings.EqualFold(at.key, "name") && c.Name == at.value
		}
		return strings.EqualFold(c.ID, at.value) || c.Name == at.value
	})
}

func getFederated(s *Server, _ context.Context, q *request) (answer, error) {
	a, err := s.application(q)
	if err != nil {
		return answer{}, err
	}
	i := federatedAt(a.FederatedCredentials, q.at[1])
	if i < 0 {
		return answer{}, absent(q.at[1].value)
	}
	return q.single(viewFederated(s.Directory, &a.FederatedCredentials[i]), federatedPath(a), false)
}

// readFederated writes what the body says into a credential.
func readFederated(q *request, c *identity.FederatedCredential, ignored ...string) error {
	f, err := readBody(q.http)
	if err != nil {
		return err
	}
	texts := []struct {
		name string
		into *string
	}{{"issuer", &c.Issuer}, {"subject", &c.Subject}, {"description", &c.Description}, {"name", &c.Name}}
	for _, field := range texts {
		value, given, err := f.text(field.name)
		if err != nil {
			return err
		}
		if field.name == "name" && c.Name != "" && given && value != c.Name {
			return resource.Invalidf(badRequest, "the name of a federated credential cannot be changed; make another one.").At("name")
		}
		if given {
			*field.into = value
		}
	}
	audiences, given, err := f.texts("audiences")
	if err != nil {
		return err
	}
	if given {
		c.Audiences = audiences
	}
	return f.done(ignored...)
}

func createFederated(s *Server, ctx context.Context, q *request) (answer, error) {
	made := identity.FederatedCredential{ID: uuid.NewString()}
	if err := readFederated(q, &made, "id"); err != nil {
		return answer{}, err
	}
	s.federated.Lock()
	defer s.federated.Unlock()
	a, err := s.application(q)
	if err != nil {
		return answer{}, err
	}
	if slices.ContainsFunc(a.FederatedCredentials, func(c identity.FederatedCredential) bool { return c.Name == made.Name }) {
		return answer{}, resource.Conflictf(duplicate, "FederatedIdentityCredential with name %s already exists.", made.Name).At("name")
	}
	if err := s.Directory.SetFederatedCredentials(ctx, a.ID, append(a.FederatedCredentials, made)); err != nil {
		return answer{}, err
	}
	return q.created(viewFederated(s.Directory, &made), federatedPath(a), made.ID)
}

func updateFederated(s *Server, ctx context.Context, q *request) (answer, error) {
	s.federated.Lock()
	defer s.federated.Unlock()
	a, err := s.application(q)
	if err != nil {
		return answer{}, err
	}
	i := federatedAt(a.FederatedCredentials, q.at[1])
	if i < 0 {
		return answer{}, absent(q.at[1].value)
	}
	if err := readFederated(q, &a.FederatedCredentials[i]); err != nil {
		return answer{}, err
	}
	return answer{}, s.Directory.SetFederatedCredentials(ctx, a.ID, a.FederatedCredentials)
}

func deleteFederated(s *Server, ctx context.Context, q *request) (answer, error) {
	s.federated.Lock()
	defer s.federated.Unlock()
	a, err := s.application(q)
	if err != nil {
		return answer{}, err
	}
	i := federatedAt(a.FederatedCredentials, q.at[1])
	if i < 0 {
		return answer{}, absent(q.at[1].value)
	}
	return answer{}, s.Directory.SetFederatedCredentials(ctx, a.ID, slices.Delete(a.FederatedCredentials, i, i+1))
}
