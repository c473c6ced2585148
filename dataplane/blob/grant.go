package blob

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// grant is what a SAS allows at most; the rights of the principal that signed it bound it too.
type grant struct {
	account     resource.ID
	permissions string
	kind        string // b, c, d, or account
	types       string // of an account SAS: s, c, o
	container   string
	path        string // of the blob or the directory
	overrides   url.Values
}

// covers tells whether a path lies in what was signed.
func (g *grant) covers(account Account, container, path string) bool {
	if !g.account.Equal(account.ID) {
		return false
	}
	switch g.kind {
	case "account":
		return true
	case "c":
		return container == g.container
	case "d":
		return container == g.container && (g.path == "" || path == g.path || strings.HasPrefix(path, g.path+"/"))
	}
	return container == g.container && path == g.path && path != ""
}

// permit tells whether a SAS carries a need, and notes when it lets its holder make new blobs only.
func (g *grant) permit(q *request, n need, path string) error {
	allowed := n.sas
	if g.kind == "account" {
		level := map[target]string{onAccount: "s", onContainer: "c", onPrefix: "c", onPath: "o", onSource: "o"}[n.on]
		if !strings.Contains(g.types, level) {
			return g.lacks("srt", g.types, level)
		}
		if n.sas == "" {
			allowed = accountPermissions(n.actions[0])
		}
	} else if n.sas == "" {
		return resource.Forbiddenf("AuthorizationPermissionMismatch",
			"This request is not authorized to perform this operation using this permission. A SAS on a blob, directory or container does not allow %s.", q.op.name)
	}
	if !strings.ContainsAny(g.permissions, allowed) {
		return g.lacks("sp", g.permissions, allowed)
	}
	account, container := q.account, q.at.container
	if n.on == onSource {
		account, container = q.source.account, q.source.at.container
	}
	reaches := g.covers(account, container, path)
	if n.on == onPrefix {
		// The prefix "dir" also lists what lies in "directory": only "dir/" stays within the directory dir.
		reaches = reaches && g.kind != "b" && (g.kind != "d" || g.path == "" || strings.HasPrefix(path, g.path+"/"))
	}
	if !reaches {
		return resource.Forbiddenf("AuthorizationPermissionMismatch",
			"This request is not authorized to perform this operation using this permission. The SAS does not reach this path.")
	}
	if strings.Contains(allowed, "c") && !strings.ContainsAny(g.permissions, strings.ReplaceAll(allowed, "c", "")) {
		q.createOnly = true
	}
	return nil
}

func accountPermissions(action string) string {
	switch {
	case strings.HasSuffix(action, "/delete"):
		return "d"
	case strings.HasSuffix(action, "/write"):
		return "wc"
	case strings.HasSuffix(action, "/read"):
		return "rl"
	}
	return "-" // no permission of an account SAS
}

func (g *grant) lacks(field, has, want string) error {
	return resource.Forbiddenf("AuthorizationPermissionMismatch", "This request is not authorized to perform this operation "+
		"using this permission. The SAS has %s=%s; one of %q is needed.", field, has, want)
}

// applyOverrides sets the response headers that were signed.
func (g *grant) applyOverrides(h http.Header) {
	for name, header := range map[string]string{"rscc": "Cache-Control", "rscd": "Content-Disposition",
		"rsce": "Content-Encoding", "rscl": "Content-Language", "rsct": "Content-Type"} {
		if value := g.overrides.Get(name); value != "" && g.kind != "account" {
			h.Set(header, value)
		}
	}
}
