package cli

import (
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"github.com/alvara-ml/alvara/cli/document"
)

const containerColumns = "[].{Name:name, LastModified:properties.lastModified}"

type storageContainerGroup struct {
	Create containerCreate `cmd:"" help:"Create a container." example:"alvara storage container create -n source --account-name fraudlake"`
	List   containerList   `cmd:"" help:"List containers." example:"alvara storage container list --account-name fraudlake -o table"`
	Show   containerShow   `cmd:"" help:"Show a container." example:"alvara storage container show -n source --account-name fraudlake"`
	Exists containerExists `cmd:"" help:"Say whether a container exists." example:"alvara storage container exists -n source --account-name fraudlake --query exists -o tsv"`
	Delete containerDelete `cmd:"" help:"Delete a container with its blobs." example:"alvara storage container delete -n source --account-name fraudlake"`
}

type containerName struct {
	Name string `short:"n" required:"" help:"Name of the container."`
	accountFlags
}

func (n containerName) container(c *Call) (*container.Client, error) {
	client, err := n.client(c)
	if err != nil {
		return nil, err
	}
	return client.NewContainerClient(n.Name), nil
}

type containerCreate struct {
	containerName
	FailOnExist bool `name:"fail-on-exist" help:"Fail when the container exists."`
}

func (n *containerCreate) Run(c *Call) error {
	client, err := n.container(c)
	if err != nil {
		return err
	}
	_, err = client.Create(c.ctx, nil)
	existed := bloberror.HasCode(err, bloberror.ContainerAlreadyExists)
	if err != nil && (!existed || n.FailOnExist) {
		return err
	}
	return c.Print(document.New("created", !existed, "name", n.Name, "url", client.URL()))
}

type containerList struct {
	accountFlags
	Prefix string `help:"Only names that start with this."`
}

func (l *containerList) Run(c *Call) error {
	client, err := l.client(c)
	if err != nil {
		return err
	}
	out := []*document.Object{}
	pager := client.NewListContainersPager(&service.ListContainersOptions{Prefix: optional(l.Prefix)})
	for pager.More() {
		page, err := pager.NextPage(c.ctx)
		if err != nil {
			return err
		}
		for _, item := range page.ContainerItems {
			properties := document.New()
			if item.Properties != nil {
				properties.SetIf("etag", etag(item.Properties.ETag)).SetIf("lastModified", timeText(item.Properties.LastModified))
			}
			out = append(out, document.New("name", value(item.Name), "properties", properties))
		}
	}
	return c.PrintColumns(out, containerColumns)
}

type containerShow struct{ containerName }

func (n *containerShow) Run(c *Call) error {
	client, err := n.container(c)
	if err != nil {
		return err
	}
	found, err := client.GetProperties(c.ctx, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(document.New("name", n.Name, "metadata", metadata(found.Metadata), "properties",
		document.New("etag", etag(found.ETag), "lastModified", timeText(found.LastModified))), containerColumns)
}

type containerExists struct{ containerName }

func (n *containerExists) Run(c *Call) error {
	client, err := n.container(c)
	if err != nil {
		return err
	}
	_, err = client.GetProperties(c.ctx, nil)
	if err != nil && !storageMissing(err) {
		return err
	}
	return c.Print(document.New("exists", err == nil))
}

type containerDelete struct {
	containerName
	Yes bool `short:"y" help:"Kept for scripts; it is not asked."`
}

func (n *containerDelete) Run(c *Call) error {
	client, err := n.container(c)
	if err != nil {
		return err
	}
	_, err = client.Delete(c.ctx, nil)
	gone := storageMissing(err)
	if err != nil && !gone {
		return err
	}
	return c.Print(document.New("deleted", !gone))
}

func storageMissing(err error) bool {
	refused := storageError(err)
	return err != nil && refused != nil && refused.NotFound()
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return to.Ptr(text)
}

// value gives what a pointer of an SDK model points to, or nil.
func value[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

func etag[T ~string](p *T) any {
	if p == nil {
		return nil
	}
	return string(*p)
}

func timeText(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

func metadata(given map[string]*string) *document.Object {
	out := document.New()
	for name, v := range given {
		out.Set(name, value(v))
	}
	return out
}
