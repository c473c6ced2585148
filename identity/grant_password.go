package identity

import "context"

// password is the grant of a user who hands name and password to the client (resource owner password credentials). It
// exists only where Config.PasswordGrant turns it on. Whether the name or the password is wrong stays open.
func (s *Service) password(_ context.Context, r *tokenRequest) (subject, error) {
	name, password := r.form.Get("username"), r.form.Get("password")
	if name == "" {
		return subject{}, missing("username")
	}
	if password == "" {
		return subject{}, missing("password")
	}
	user, _ := s.config.Directory.User(name) // the zero user's hash matches nothing
	if !passwordMatches(user.PasswordHash, password) {
		return subject{}, refuse(codePasswordWrong, "Error validating credentials due to invalid username or password.")
	}
	principal, ok := s.config.Directory.Lookup(user.ID)
	if !ok {
		return subject{}, refuse(codePasswordWrong, "Error validating credentials due to invalid username or password.")
	}
	return subject{principal: principal}, nil
}
