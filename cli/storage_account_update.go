package cli

import (
	"net/http"

	"github.com/alvara-ml/alvara/cli/document"
)

type storageAccountUpdate struct {
	namedInGroup
	AllowSharedKeyAccess *bool `name:"allow-shared-key-access" help:"Let whoever holds a key in, whatever their roles; false shuts them out at once."`
	tagFlags
}

func (s *storageAccountUpdate) Run(c *Call) error {
	tags, err := tagsOf(s.Tags)
	if err != nil {
		return err
	}
	body := document.New()
	if s.AllowSharedKeyAccess != nil {
		body.Set("properties", document.New("allowSharedKeyAccess", *s.AllowSharedKeyAccess))
	}
	if s.Tags != nil {
		body.Set("tags", tags)
	}
	if body.Len() == 0 {
		return usagef("say what to change: --allow-shared-key-access or --tags")
	}
	path, err := s.path(c, storageProvider+"/")
	if err != nil {
		return err
	}
	changed, err := c.armFinish(http.MethodPatch, path, storageAPI, body, "Updating storage account "+s.Name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(changed), storageAccountColumns)
}
