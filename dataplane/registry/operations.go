package registry

import (
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// operation is one row of the protocol: what it is called, what it needs, what runs it.
type operation struct {
	name  string
	needs []need
	list  bool // shows the repositories that the caller may see, see authorizeList
	open  bool // takes its proof in the request itself: the token endpoints
	run   func(*Server, *request) error
}

// need is a permission on the repository of the URL or, with onSource, on the one that a mount takes from.
type need struct {
	*permission
	onSource bool // when it is missing the operation still runs, and takes nothing from there
}

// permission is what tokens name and what roles grant.
type permission struct {
	scope string   // how a challenge asks for it
	also  []string // what else in a token covers it
	any   []right  // each of them suffices; the first one is named in refusals
}

type right struct {
	action string
	data   bool
}

var (
	pull = &permission{scope: "pull", any: []right{{ActionPull, false}, {DataContentRead, true}}}
	push = &permission{scope: "push", any: []right{{ActionPush, false}, {DataContentWrite, true}}}
	// Clients that push ask for both at once, so that is what the challenge names.
	pushing   = &permission{scope: "pull,push", also: []string{"push"}, any: push.any}
	remove    = &permission{scope: "delete", any: []right{{ActionDelete, false}, {DataContentDelete, true}}}
	listTags  = &permission{scope: "pull", also: []string{"metadata_read"}, any: metaRead.any}
	metaRead  = &permission{scope: "metadata_read", any: []right{{ActionPull, false}, {ActionMetadataRead, false}, {DataContentRead, true}, {DataMetadataRead, true}}}
	metaWrite = &permission{scope: "metadata_write", any: []right{{ActionPush, false}, {ActionMetadataWrite, false}, {DataMetadataWrite, true}}}

	// list is a permission on the registry itself.
	list = &permission{scope: "*", any: []right{{ActionPull, false}, {DataCatalogRead, true}}}
)

func needs(permissions ...*permission) []need {
	all := make([]need, len(permissions))
	for i, p := range permissions {
		all[i] = need{permission: p}
	}
	return all
}

// operations is the whole protocol. The key is the method and what the URL names.
var operations = map[string]operation{
	"GET root":  {name: "Ping", run: (*Server).ping},
	"HEAD root": {name: "Ping", run: (*Server).ping},

	"POST exchange": {name: "Exchange", open: true, run: (*Server).exchange},
	"GET token":     {name: "Token", open: true, run: (*Server).token},
	"POST token":    {name: "Token", open: true, run: (*Server).token},

	"GET catalog":       {name: "ListRepositories", list: true, run: (*Server).listRepositories},
	"GET tags":          {name: "ListTags", needs: needs(listTags), run: (*Server).listTags},
	"GET manifest":      {name: "PullManifest", needs: needs(pull), run: (*Server).getManifest},
	"HEAD manifest":     {name: "PullManifest", needs: needs(pull), run: (*Server).getManifest},
	"PUT manifest":      {name: "PushManifest", needs: needs(pushing), run: (*Server).putManifest},
	"DELETE manifest":   {name: "DeleteManifest", needs: needs(remove), run: (*Server).deleteManifest},
	"GET blob":          {name: "PullBlob", needs: needs(pull), run: (*Server).getBlob},
	"HEAD blob":         {name: "PullBlob", needs: needs(pull), run: (*Server).headBlob},
	"DELETE blob":       {name: "DeleteBlob", needs: needs(remove), run: (*Server).deleteBlob},
	"POST uploads":      {name: "StartUpload", needs: needs(pushing), run: (*Server).startUpload},
	"POST uploads from": {name: "MountBlob", needs: []need{{permission: pushing}, {permission: pull, onSource: true}}, run: (*Server).mountBlob},
	"GET upload":        {name: "UploadStatus", needs: needs(pushing), run: (*Server).uploadStatus},
	"PATCH upload":      {name: "UploadChunk", needs: needs(pushing), run: (*Server).uploadChunk},
	"PUT upload":        {name: "CompleteUpload", needs: needs(pushing), run: (*Server).completeUpload},
	"DELETE upload":     {name: "CancelUpload", needs: needs(pushing), run: (*Server).cancelUpload},
	"GET referrers":     {name: "ListReferrers", needs: needs(pull), run: (*Server).referrers},

	"GET acr catalog":       {name: "ListRepositories", list: true, run: (*Server).listRepositories},
	"GET acr repository":    {name: "GetRepository", needs: needs(metaRead), run: (*Server).getRepository},
	"PATCH acr repository":  {name: "UpdateRepository", needs: needs(metaWrite), run: (*Server).updateRepository},
	"DELETE acr repository": {name: "DeleteRepository", needs: needs(remove), run: (*Server).deleteRepository},
	"GET acr tags":          {name: "ListTagAttributes", needs: needs(metaRead), run: (*Server).listTagAttributes},
	"GET acr tag":           {name: "GetTag", needs: needs(metaRead), run: (*Server).getTag},
	"PATCH acr tag":         {name: "UpdateTag", needs: needs(metaWrite), run: (*Server).updateTag},
	"DELETE acr tag":        {name: "DeleteTag", needs: needs(remove), run: (*Server).deleteTag},
	"GET acr manifests":     {name: "ListManifestAttributes", needs: needs(metaRead), run: (*Server).listManifestAttributes},
	"GET acr manifest":      {name: "GetManifest", needs: needs(metaRead), run: (*Server).getManifestAttributes},
	"PATCH acr manifest":    {name: "UpdateManifest", needs: needs(metaWrite), run: (*Server).updateManifest},
	"DELETE acr manifest":   {name: "DeleteManifest", needs: needs(remove), run: (*Server).deleteManifest},
}

// methods are those that any row of the table has.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// findOperation chooses the row of the table. Errors: MethodNotAllowed, with the methods that the URL takes.
func findOperation(method string, at address, mount bool) (*operation, error) {
	key := method + " " + string(at.what)
	if at.what == atUploads && mount {
		key += " from"
	}
	if op, ok := operations[key]; ok {
		return &op, nil
	}
	return nil, resource.Errorf(resource.MethodNotAllowed, codeUnsupported, "%.20s is not offered here; use %s", method, strings.Join(allowed(at), ", "))
}

// allowed gives the methods that a URL takes.
func allowed(at address) []string {
	var found []string
	for _, method := range methods {
		if _, ok := operations[method+" "+string(at.what)]; ok {
			found = append(found, method)
		}
	}
	return found
}

// covers tells whether actions in a token carry the permission.
func (p *permission) covers(actions []string) bool {
	for _, action := range actions {
		if action == "*" || action == p.scope {
			return true
		}
		for _, other := range p.also {
			if action == other {
				return true
			}
		}
	}
	return false
}
