package identity

import "context"

// clientCredentials is the grant of a client that acts for itself: it has proved itself already.
func (s *Service) clientCredentials(_ context.Context, r *tokenRequest) (subject, error) {
	return subject{principal: r.client.principal}, nil
}
