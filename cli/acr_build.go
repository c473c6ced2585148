package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/wire"
)

// registryFlag says which registry a command works on where -n is not the registry's name.
type registryFlag struct {
	Registry      string `short:"r" required:"" help:"Name of the registry."`
	ResourceGroup string `short:"g" name:"resource-group" help:"Resource group; without it the registry is looked for."`
}

func (r registryFlag) path(c *Call) (string, error) {
	return c.registryPath(r.Registry, r.ResourceGroup)
}

type acrBuild struct {
	registryFlag
	Image          []string `short:"t" sep:"none" each:"" placeholder:"NAME:TAG" help:"Name of the image; may be given more than once. {{.Run.ID}} becomes the run's id."`
	File           string   `short:"f" default:"Dockerfile" help:"Dockerfile, in the folder or anywhere else. (${default})"`
	BuildArg       []string `name:"build-arg" sep:"none" each:"" placeholder:"NAME=VALUE" help:"Build argument; NAME alone takes the value of the environment."`
	SecretBuildArg []string `name:"secret-build-arg" sep:"none" each:"" placeholder:"NAME=VALUE" help:"Build argument that neither the run nor its log shows."`
	Target         string   `help:"Stage to build; without it the last."`
	NoPush         bool     `name:"no-push" help:"Build, and push nothing."`
	NoCache        bool     `name:"no-cache" help:"Take no step from the cache."`
	Platform       string   `default:"linux" help:"Platform as OS, OS/ARCH or OS/ARCH/VARIANT. (${default})"`
	Timeout        int      `default:"3600" help:"Seconds until the run is ended. (${default})"`
	NoLogs         bool     `name:"no-logs" help:"Do not show the log."`
	NoWait         bool     `name:"no-wait" help:"Do not wait for the end."`
	NoFormat       bool     `name:"no-format" help:"Kept for scripts; the log is shown as it is anyway."`
	Identity       string   `aliases:"source-acr-auth-id" placeholder:"ID" help:"As whom the run works: [system], or the name, id or client id of a user-assigned identity of the registry. Without it [system]."`
	Credential     []string `sep:"none" each:"" placeholder:"HOST=ID" help:"As whom the run pulls from another registry; may be given more than once."`
	Location       string   `arg:"" name:"location" default:"." help:"Folder with the files of the build; what its .dockerignore names stays behind, and so does the folder .git."`
}

func (a *acrBuild) Run(c *Call) error {
	if err := a.localFolder(); err != nil {
		return err
	}
	source, err := openContext(a.Location, a.File)
	if err != nil {
		return err
	}
	registry, err := a.path(c)
	if absent := (*notFound)(nil); errors.As(err, &absent) {
		return &notFound{absent.message + ". A build needs the action Microsoft.ContainerRegistry/registries/scheduleRun/action on the registry as well, " +
			"which the roles Container Registry Tasks Contributor and Contributor have"}
	}
	if err != nil {
		return err
	}
	request, err := a.request(c, registry)
	if err != nil {
		return err
	}
	relative, err := c.sendSource(registry, source)
	if err != nil {
		return err
	}
	request.Set("dockerFilePath", source.dockerfile).Set("sourceLocation", relative)
	run, err := c.scheduleRun(registry, request)
	if err != nil {
		return err
	}
	return a.watch(c, registry, run)
}

// localFolder refuses the places that a build cannot take its files from.
func (a *acrBuild) localFolder() error {
	lower := strings.ToLower(a.Location)
	for _, remote := range []struct{ prefix, what string }{
		{"https://", "a URL"}, {"http://", "a URL"}, {"git@", "a git repository"}, {"git://", "a git repository"}, {"ssh://", "a git repository"},
		{"github.com/", "a git repository"}, {"oci://", "an artifact"},
	} {
		if strings.HasPrefix(lower, remote.prefix) {
			return usagef("LOCATION: %s is %s, and builds take their files from a local folder alone; fetch it and name the folder", a.Location, remote.what)
		}
	}
	if a.Location == "-" {
		return usagef("LOCATION: builds take their files from a local folder, not from stdin")
	}
	if lower == "/dev/null" {
		return usagef("LOCATION: a build needs a folder with its Dockerfile")
	}
	return nil
}

// request makes the DockerBuildRequest without the sources (api-version 2019-06-01-preview).
func (a *acrBuild) request(c *Call, registry string) (*document.Object, error) {
	if a.Timeout <= 0 {
		return nil, usagef("--timeout: %d is no time; give seconds above 0", a.Timeout)
	}
	platform, err := platformOf(a.Platform)
	if err != nil {
		return nil, err
	}
	arguments := []any{}
	for _, given := range []struct {
		flag   string
		pairs  []string
		secret bool
	}{{"--build-arg", a.BuildArg, false}, {"--secret-build-arg", a.SecretBuildArg, true}} {
		for _, pair := range given.pairs {
			name, value, has := strings.Cut(pair, "=")
			if name == "" {
				return nil, usagef("%s: %q has no name before the '='", given.flag, pair)
			}
			if !has {
				if value = c.Program.Env(name); value == "" {
					return nil, usagef("%s: %s has no value here and none in the environment; write %s=VALUE", given.flag, name, name)
				}
			}
			arguments = append(arguments, document.New("name", name, "value", value, "isSecret", given.secret))
		}
	}
	for _, name := range a.Image {
		if strings.TrimSpace(name) == "" {
			return nil, usagef("--image: the name of the image is empty")
		}
	}
	if len(a.Image) == 0 && !a.NoPush {
		c.Warn("no --image names the image, so it is built and not pushed")
	}
	credentials, err := a.credentials(c, groupOf(registry))
	if err != nil {
		return nil, err
	}
	return document.New("type", "DockerBuildRequest", "isPushEnabled", !a.NoPush && len(a.Image) > 0, "noCache", a.NoCache, "imageNames", document.Strings(a.Image),
		"platform", platform, "timeout", a.Timeout, "arguments", arguments).SetIf("target", a.Target).SetIf("credentials", credentials), nil
}

// platformOf reads OS[/ARCH[/VARIANT]].
func platformOf(text string) (*document.Object, error) {
	parts := strings.Split(text, "/")
	if len(parts) > 3 || parts[0] == "" {
		return nil, usagef("--platform: %q is not of the form OS, OS/ARCH or OS/ARCH/VARIANT", text)
	}
	out := document.New("os", parts[0])
	for i, key := range []string{"architecture", "variant"} {
		if i+1 < len(parts) {
			out.SetIf(key, parts[i+1])
		}
	}
	return out, nil
}

// credentials says as whom the run works, and as whom at which other registry.
func (a *acrBuild) credentials(c *Call, group string) (*document.Object, error) {
	out := document.New()
	if a.Identity != "" {
		identity, err := c.runIdentity(a.Identity, group)
		if err != nil {
			return nil, err
		}
		out.Set("sourceRegistry", document.New("identity", identity))
	}
	hosts := document.New()
	for _, pair := range a.Credential {
		host, named, ok := strings.Cut(pair, "=")
		if !ok || host == "" || named == "" {
			return nil, usagef("--credential: %q is not of the form HOST=IDENTITY, where the identity is [system] or the name, id or client id of a user-assigned one", pair)
		}
		if hosts.Has(host) {
			return nil, usagef("--credential: %s is given two identities", host)
		}
		identity, err := c.runIdentity(named, group)
		if err != nil {
			return nil, err
		}
		hosts.Set(host, document.New("identity", identity))
	}
	return out.SetIf("customRegistries", hosts), nil
}

var clientID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// runIdentity brings an identity into a form that the server takes: [system], a client id or a resource id. A bare name is
// that of a user-assigned identity in the registry's group.
func (c *Call) runIdentity(text, group string) (string, error) {
	if strings.HasPrefix(text, "[") || clientID.MatchString(text) {
		return text, nil
	}
	return c.registryIdentityID(text, group)
}

// sendSource packs a folder and uploads it; it gives the path under which a run finds it.
func (c *Call) sendSource(registry string, source *buildContext) (string, error) {
	packed, err := os.CreateTemp("", "alvara-source-*.tar.gz")
	if err != nil {
		return "", err
	}
	defer os.Remove(packed.Name())
	defer packed.Close()
	c.Warn("packing %s", source.root)
	packing := c.progress("Packing")
	err = source.write(packed)
	packing.Stop()
	if err != nil {
		return "", err
	}
	for _, name := range source.Skipped {
		c.Warn("%s is no file that an archive can hold; it is left out", name)
	}
	info, err := packed.Stat()
	if err != nil {
		return "", err
	}
	upload, err := c.arm(http.MethodPost, registry+"/listBuildSourceUploadUrl", registryRunsAPI, nil)
	if err != nil {
		return "", err
	}
	link, relative := upload.Text("uploadUrl"), upload.Text("relativePath")
	if link == "" || relative == "" {
		return "", fmt.Errorf("the server names no place for the sources of a build")
	}
	c.Warn("sending %s (files: %d) to the registry %s", byteText(info.Size()), source.Files, lastName(registry))
	progress := c.progressBytes("Sending", info.Size())
	defer progress.Stop()
	return relative, c.uploadSource(link, packed, info.Size(), progress.Value)
}

// byteText writes a size as people read it.
func byteText(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// scheduleRun queues a run. It is not cut off by Ctrl-C: a run that may have been queued must be known to be cancelled.
func (c *Call) scheduleRun(registry string, request *document.Object) (*document.Object, error) {
	if err := c.ctx.Err(); err != nil {
		return nil, err
	}
	detached, stop := c.detached(time.Minute)
	defer stop()
	run, err := detached.armFinish(http.MethodPost, registry+"/scheduleRun", registryRunsAPI, request, "Queueing", false)
	if err != nil {
		return nil, err
	}
	if runID(run) == "" {
		return nil, fmt.Errorf("the server queued a run and does not say which")
	}
	return run, nil
}

func runID(run *document.Object) string {
	return first(run.Text("properties", "runId"), run.Text("name"))
}

// watch shows the run's log until it ends, and then the run. When the command is stopped, so is the run.
func (a *acrBuild) watch(c *Call, registry string, run *document.Object) error {
	id := runID(run)
	c.Warn("queued the run %s", id)
	if a.NoWait {
		return c.PrintColumns(flatten(run), runColumns)
	}
	running := &registryRun{call: c, path: runPath(registry, id), out: c.Program.Stderr}
	ended, err := a.toTheEnd(running)
	if c.ctx.Err() != nil {
		cancelErr := running.cancel()
		var refused *wire.Error
		if errors.As(cancelErr, &refused) && refused.Status == http.StatusConflict {
			c.Warn("the run %s had ended by itself", id)
			return c.ctx.Err()
		}
		if cancelErr != nil {
			return &wire.Error{Code: "RunGoesOn", Message: fmt.Sprintf("stopped, but the run %s could not be cancelled and goes on: %v", id, cancelErr),
				Cure: []string{"alvara acr task cancel-run -r " + a.Registry + " --run-id " + id}}
		}
		c.Warn("the run %s is cancelled on the server", id)
		return c.ctx.Err()
	}
	if err != nil {
		c.Warn("the run %s goes on; `alvara acr task logs -r %s --run-id %s` shows its log", id, a.Registry, id)
		return err
	}
	if err := runError(ended); err != nil {
		return err // the log has said why, and the error says the rest
	}
	return c.PrintColumns(flatten(ended), runColumns)
}

func (a *acrBuild) toTheEnd(running *registryRun) (*document.Object, error) {
	if !a.NoLogs {
		if err := running.follow(); err != nil {
			return nil, err
		}
	}
	return running.finish()
}
