package cli

type jobMetrics struct{ jobName }

func (j *jobMetrics) Run(c *Call) error { return nil }

type jobDownload struct {
	jobName
	DownloadPath string `name:"download-path" short:"p" help:"Folder to write into."`
	OutputName   string `name:"output-name" help:"Output to download."`
	All          bool   `help:"All outputs, with artifacts and log."`
}

func (j *jobDownload) Run(c *Call) error { return nil }
