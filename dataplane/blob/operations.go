package blob

import (
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// operation is one row of the protocol: what it is called, what it needs, what runs it.
type operation struct {
	name        string
	protocol    protocol
	inContainer bool // the container must exist
	needs       []need
	run         func(*Server, *request) error
}

type protocol uint8

const (
	anyProtocol protocol = iota // as the endpoint's
	blobProtocol
	dfsProtocol
)

// need is one right that an operation takes.
type need struct {
	actions []string // all of them, or
	or      []string // all of these
	data    bool
	on      target
	sas     string // the SAS permissions of which one is enough; "" when no service SAS allows it
}

type target uint8

const (
	onAccount target = iota
	onContainer
	onPath
	onPrefix // the listed prefix
	onSource // the path that a copy or rename reads from
)

var (
	readBlob   = []need{{actions: []string{ActionRead}, data: true, on: onPath, sas: "r"}}
	writeBlob  = []need{{actions: []string{ActionWrite}, data: true, on: onPath, sas: "w"}}
	putBlob    = []need{{actions: []string{ActionWrite}, data: true, on: onPath, sas: "wc"}} // "c" alone makes new blobs only
	appendBlob = []need{{actions: []string{ActionWrite}, or: []string{ActionAdd}, data: true, on: onPath, sas: "wa"}}
	deleteBlob = []need{{actions: []string{ActionDelete}, data: true, on: onPath, sas: "d"}}
	listBlobs  = []need{{actions: []string{ActionRead}, data: true, on: onPrefix, sas: "l"}}
	copyBlob   = []need{putBlob[0], {actions: []string{ActionRead}, data: true, on: onSource, sas: "r"}}
	moveBlob   = []need{
		{actions: []string{ActionWrite}, data: true, on: onPath, sas: "wcm"},
		{actions: []string{ActionMove}, or: []string{ActionWrite, ActionDelete}, data: true, on: onSource, sas: "m"},
	}
	statPath = []need{{actions: []string{ActionRead}, data: true, on: onPath, sas: "rle"}}

	readAccount     = []need{{actions: []string{ActionServiceRead}, or: []string{ActionContainerRead}, on: onAccount}}
	listContainers  = []need{{actions: []string{ActionContainerRead}, on: onAccount}}
	delegationKey   = []need{{actions: []string{ActionDelegationKey}, on: onAccount}}
	readContainer   = []need{{actions: []string{ActionContainerRead}, on: onContainer}}
	writeContainer  = []need{{actions: []string{ActionContainerWrite}, on: onContainer}}
	deleteContainer = []need{{actions: []string{ActionContainerDelete}, on: onContainer}}
	statRoot        = []need{{actions: []string{ActionRead}, data: true, on: onPath, sas: "rle"}}
)

// operations is the whole protocol. The key is the method, what the URL names, and what selects among several: the
// query parameters restype, comp, resource and action, and the header that marks a variant.
var operations = map[string]operation{
	// the account
	"GET account comp=list":                               {"ListContainers", blobProtocol, false, listContainers, (*Server).listContainers},
	"GET account restype=service comp=properties":         {"GetServiceProperties", blobProtocol, false, readAccount, (*Server).serviceProperties},
	"GET account restype=account comp=properties":         {"GetAccountInfo", blobProtocol, false, readAccount, (*Server).accountInfo},
	"HEAD account restype=account comp=properties":        {"GetAccountInfo", blobProtocol, false, readAccount, (*Server).accountInfo},
	"POST account restype=service comp=userdelegationkey": {"GetUserDelegationKey", blobProtocol, false, delegationKey, (*Server).userDelegationKey},
	"GET account resource=account":                        {"ListFilesystems", dfsProtocol, false, listContainers, (*Server).listFilesystems},

	// containers
	"PUT container restype=container":                {"CreateContainer", blobProtocol, false, writeContainer, (*Server).createContainer},
	"GET container restype=container":                {"GetContainerProperties", blobProtocol, true, readContainer, (*Server).containerProperties},
	"HEAD container restype=container":               {"GetContainerProperties", blobProtocol, true, readContainer, (*Server).containerProperties},
	"GET container restype=container comp=metadata":  {"GetContainerMetadata", blobProtocol, true, readContainer, (*Server).containerProperties},
	"HEAD container restype=container comp=metadata": {"GetContainerMetadata", blobProtocol, true, readContainer, (*Server).containerProperties},
	"PUT container restype=container comp=metadata":  {"SetContainerMetadata", blobProtocol, true, writeContainer, (*Server).setContainerMetadata},
	"DELETE container restype=container":             {"DeleteContainer", blobProtocol, true, deleteContainer, (*Server).deleteContainer},
	"GET container restype=container comp=list":      {"ListBlobs", blobProtocol, true, listBlobs, (*Server).listBlobs},
	"GET container restype=account comp=properties":  {"GetAccountInfo", blobProtocol, false, readContainer, (*Server).accountInfo},
	"HEAD container restype=account comp=properties": {"GetAccountInfo", blobProtocol, false, readContainer, (*Server).accountInfo},

	// blobs
	"GET blob":                                  {"GetBlob", anyProtocol, true, readBlob, (*Server).getBlob},
	"HEAD blob":                                 {"GetBlobProperties", anyProtocol, true, readBlob, (*Server).headBlob},
	"GET blob comp=metadata":                    {"GetBlobMetadata", blobProtocol, true, readBlob, (*Server).headBlob},
	"HEAD blob comp=metadata":                   {"GetBlobMetadata", blobProtocol, true, readBlob, (*Server).headBlob},
	"PUT blob type":                             {"PutBlob", blobProtocol, true, putBlob, (*Server).putBlob},
	"PUT blob type copy":                        {"PutBlobFromURL", blobProtocol, true, copyBlob, (*Server).copyBlob},
	"PUT blob copy":                             {"CopyBlob", blobProtocol, true, copyBlob, (*Server).copyBlob},
	"PUT blob comp=block":                       {"PutBlock", blobProtocol, true, putBlob, (*Server).putBlock},
	"PUT blob comp=block copy":                  {"PutBlockFromURL", blobProtocol, true, copyBlob, (*Server).putBlockFromURL},
	"PUT blob comp=blocklist":                   {"PutBlockList", blobProtocol, true, putBlob, (*Server).putBlockList},
	"GET blob comp=blocklist":                   {"GetBlockList", blobProtocol, true, readBlob, (*Server).getBlockList},
	"PUT blob comp=appendblock":                 {"AppendBlock", blobProtocol, true, appendBlob, (*Server).appendBlock},
	"PUT blob comp=metadata":                    {"SetBlobMetadata", blobProtocol, true, writeBlob, (*Server).setMetadata},
	"PUT blob comp=properties":                  {"SetBlobProperties", blobProtocol, true, writeBlob, (*Server).setProperties},
	"PUT blob comp=tier":                        {"SetBlobTier", blobProtocol, true, writeBlob, (*Server).setTier},
	"DELETE blob":                               {"DeleteBlob", anyProtocol, true, deleteBlob, (*Server).deleteBlob},
	"GET blob restype=account comp=properties":  {"GetAccountInfo", blobProtocol, false, readContainer, (*Server).accountInfo},
	"HEAD blob restype=account comp=properties": {"GetAccountInfo", blobProtocol, false, readContainer, (*Server).accountInfo},

	// file systems and paths
	"PUT container resource=filesystem":       {"CreateFilesystem", dfsProtocol, false, writeContainer, (*Server).createContainer},
	"HEAD container resource=filesystem":      {"GetFilesystemProperties", dfsProtocol, true, readContainer, (*Server).filesystemProperties},
	"PATCH container resource=filesystem":     {"SetFilesystemProperties", dfsProtocol, true, writeContainer, (*Server).setFilesystemProperties},
	"DELETE container resource=filesystem":    {"DeleteFilesystem", dfsProtocol, true, deleteContainer, (*Server).deleteContainer},
	"GET container resource=filesystem":       {"ListPaths", dfsProtocol, true, listBlobs, (*Server).listPaths},
	"HEAD container":                          {"GetStatus", dfsProtocol, true, statRoot, (*Server).pathStatus},
	"HEAD container action=getstatus":         {"GetStatus", dfsProtocol, true, statRoot, (*Server).pathStatus},
	"HEAD container action=getaccesscontrol":  {"GetAccessControl", dfsProtocol, true, statRoot, (*Server).pathStatus},
	"PATCH container action=setaccesscontrol": {"SetAccessControl", dfsProtocol, true, writeBlob, (*Server).setAccessControl},
	"PUT blob resource=file":                  {"CreateFile", dfsProtocol, true, putBlob, (*Server).createPath},
	"PUT blob resource=directory":             {"CreateDirectory", dfsProtocol, true, putBlob, (*Server).createPath},
	"PUT blob rename":                         {"RenamePath", dfsProtocol, true, moveBlob, (*Server).renamePath},
	"PATCH blob action=append":                {"AppendData", dfsProtocol, true, appendBlob, (*Server).appendData},
	"PATCH blob action=flush":                 {"FlushData", dfsProtocol, true, appendBlob, (*Server).flushData},
	"PATCH blob action=setproperties":         {"SetPathProperties", dfsProtocol, true, writeBlob, (*Server).setPathProperties},
	"PATCH blob action=setaccesscontrol":      {"SetAccessControl", dfsProtocol, true, writeBlob, (*Server).setAccessControl},
	"HEAD blob action=getstatus":              {"GetStatus", dfsProtocol, true, statPath, (*Server).pathStatus},
	"HEAD blob action=getaccesscontrol":       {"GetAccessControl", dfsProtocol, true, statPath, (*Server).pathStatus},
	"DELETE blob recursive":                   {"DeletePath", dfsProtocol, true, deleteBlob, (*Server).deletePath},

	// known, and not offered: refused by name
	"PUT blob comp=lease":                        {"LeaseBlob", blobProtocol, true, writeBlob, refused("FeatureNotSupported", "leases are not offered; use If-Match and If-None-Match to order writers")},
	"PUT container restype=container comp=lease": {"LeaseContainer", blobProtocol, true, writeContainer, refused("FeatureNotSupported", "leases are not offered; use If-Match and If-None-Match to order writers")},
	"POST blob":                                   {"LeasePath", dfsProtocol, true, writeBlob, refused("FeatureNotSupported", "leases are not offered; use If-Match and If-None-Match to order writers")},
	"PUT blob comp=snapshot":                      {"SnapshotBlob", blobProtocol, true, writeBlob, refused("FeatureNotSupported", "snapshots are not offered; copy the blob instead")},
	"PUT blob comp=page":                          {"PutPage", blobProtocol, true, writeBlob, refused("UnsupportedBlobType", "page blobs are not offered; use a block blob")},
	"PUT blob comp=tags":                          {"SetBlobTags", blobProtocol, true, writeBlob, refused("FeatureNotSupported", "blob index tags are not offered; use metadata")},
	"GET blob comp=tags":                          {"GetBlobTags", blobProtocol, true, readBlob, refused("FeatureNotSupported", "blob index tags are not offered; use metadata")},
	"PUT blob comp=copy":                          {"AbortCopy", blobProtocol, true, writeBlob, refused("NoPendingCopyOperation", "there is no pending copy: copies end before they are answered")},
	"PUT blob comp=undelete":                      {"UndeleteBlob", blobProtocol, true, writeBlob, refused("FeatureNotSupported", "soft delete is not offered")},
	"PUT blob comp=expiry":                        {"SetExpiry", blobProtocol, true, writeBlob, refused("FeatureNotSupported", "expiry is not offered; delete the blob when its time has come")},
	"POST blob comp=query":                        {"QueryBlob", blobProtocol, true, readBlob, refused("FeatureNotSupported", "query acceleration is not offered; read ranges of the blob")},
	"PATCH blob action=setaccesscontrolrecursive": {"SetAccessControlRecursive", dfsProtocol, true, writeBlob, refused("FeatureNotSupported", "access control lists are not offered; assign a role instead")},
	"GET container restype=container comp=acl":    {"GetContainerACL", blobProtocol, true, readContainer, (*Server).containerACL},
	"HEAD container restype=container comp=acl":   {"GetContainerACL", blobProtocol, true, readContainer, (*Server).containerACL},
	"PUT container restype=container comp=acl":    {"SetContainerACL", blobProtocol, true, writeContainer, refused("FeatureNotSupported", "public access and stored access policies are not offered; assign a role instead")},
	"PUT account restype=service comp=properties": {"SetServiceProperties", blobProtocol, false, []need{{actions: []string{services + "write"}, on: onAccount}}, refused("FeatureNotSupported", "the service's properties cannot be changed")},
	"POST account comp=batch":                     {"Batch", blobProtocol, false, nil, refused("FeatureNotSupported", "batches are not offered; send the requests one by one")},
	"POST container restype=container comp=batch": {"Batch", blobProtocol, false, nil, refused("FeatureNotSupported", "batches are not offered; send the requests one by one")},
}

// findOperation finds the row of a request.
func findOperation(q *request) (*operation, error) {
	method := q.http.Method
	if other := q.header("x-http-method-override"); other != "" && (method == http.MethodPut || method == http.MethodPost) {
		method = strings.ToUpper(other)
	}
	level := "blob"
	switch {
	case q.at.container == "":
		level = "account"
	case q.at.path == "", strings.Trim(q.at.path, "/") == "" && (q.plane == planeDFS || q.query.Has("resource") || q.query.Has("action") || q.query.Has("recursive")):
		// To the DFS protocol slashes alone are the root; to the Blob protocol they are a name.
		level = "container"
	}
	var key strings.Builder
	key.WriteString(method + " " + level)
	for _, name := range []string{"restype", "comp", "resource", "action"} {
		if value := q.query.Get(name); value != "" {
			key.WriteString(" " + name + "=" + strings.ToLower(value))
		}
	}
	key.WriteString(q.variant(method, level))
	op, ok := operations[key.String()]
	if !ok {
		return nil, resource.Invalidf("UnsupportedHttpVerb", "%q is not an operation of this service: "+
			"check the method, the query parameters restype, comp, resource and action, and the header x-ms-blob-type", key.String())
	}
	return &op, nil
}

// variant gives what tells operations apart that have the same method and query.
func (q *request) variant(method, level string) string {
	if level != "blob" {
		return ""
	}
	var text string
	switch {
	case method == http.MethodPut && q.query.Get("resource") == "":
		if q.header("x-ms-rename-source") != "" {
			return " rename"
		}
		if q.query.Get("comp") == "" && q.header("x-ms-blob-type") != "" {
			text = " type"
		}
		if q.header("x-ms-copy-source") != "" {
			text += " copy"
		}
	case method == http.MethodDelete && (q.query.Has("recursive") || q.plane == planeDFS):
		text = " recursive"
	}
	return text
}
