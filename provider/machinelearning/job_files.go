package machinelearning

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// literal is the type of inputs that are a value.
const literal = "literal"

// inputTypes and outputTypes are what inputs and outputs can be; files, and folders.
var (
	inputTypes  = []string{literal, uriFile, uriFolder, mltable, customModel, mlflowModel, tritonModel}
	outputTypes = inputTypes[1:]
	bindingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,127}$`)
)

// settleFiles checks code, inputs and outputs of a job as its submitter, and writes them into its order.
func (d Deps) settleFiles(ctx context.Context, call *arm.Call, r *arm.Resource[Job], as actor, order *workload.Order) error {
	p, workspace := &r.Properties, r.ID.Parent()
	if p.CodeID != "" {
		at, err := d.resolveAsset(ctx, call, workspace, p.CodeID, codeType)
		if err != nil {
			return inField("properties.codeId", err)
		}
		if !at.Asset.IsRoot() {
			p.CodeID = at.Asset.String()
		}
		at.Folder = true
		file, submitter := at.file(""), call.Who
		file.Who = &submitter
		order.Code = append(order.Code, file)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Inputs)) {
		if err := d.settleInput(ctx, call, r, as, name, order); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Outputs)) {
		if err := d.settleOutput(ctx, call, r, as, name, order); err != nil {
			return err
		}
	}
	return nil
}

// inField says of a refusal which field it is about.
func inField(field string, err error) error {
	e, known := resource.AsError(err)
	if !known || e.Target != "" {
		return err
	}
	return resource.Errorf(e.Kind, e.Code, "%s: %s", field, e.Message).At(field)
}

func checkBinding(field, name string, given bool) error {
	if !bindingName.MatchString(name) {
		return resource.Invalidf("InvalidJob", "%s: %q is no name; 1 to 128 letters, digits, '_' or '-' were expected, beginning with a letter or '_'", field, name).At(field)
	}
	if !given {
		return resource.Invalidf("InvalidJob", "%s is null; leave it out", field).At(field)
	}
	return nil
}

func (d Deps) settleInput(ctx context.Context, call *arm.Call, r *arm.Resource[Job], as actor, name string, order *workload.Order) error {
	input, field := r.Properties.Inputs[name], "properties.inputs."+name
	if err := checkBinding(field, name, input != nil); err != nil {
		return err
	}
	var err error
	if input.JobInputType, err = oneOf(field+".jobInputType", input.JobInputType, "", inputTypes...); err != nil {
		return err
	}
	switch {
	case input.JobInputType == "":
		return resource.Invalidf("InvalidJob", "%s.jobInputType is missing; one of these was expected: %s", field, strings.Join(inputTypes, ", ")).At(field + ".jobInputType")
	case input.PathOnCompute != "":
		return resource.Errorf(resource.Unsupported, "NotSupported", "%s.pathOnCompute: inputs lie at /alvara/inputs/%s; leave the field out, and write ${{inputs.%s}} where the path is needed", field, name, name).At(field + ".pathOnCompute")
	case input.JobInputType == literal:
		if strings.ContainsRune(input.Value, 0) {
			return resource.Invalidf("InvalidJob", "%s.value has a zero byte", field).At(field + ".value")
		}
		order.Values["inputs."+name] = input.Value
		return nil
	case input.URI == "":
		return resource.Invalidf("InvalidJob", "%s.uri is missing; the URI of a file or folder, or the name of an asset was expected", field).At(field + ".uri")
	}
	if input.Mode, err = oneOf(field+".mode", input.Mode, "ReadOnlyMount", "ReadOnlyMount", "Download", "Direct", "EvalMount", "EvalDownload", "ReadWriteMount"); err != nil {
		return err
	}
	switch input.Mode {
	case "EvalMount", "EvalDownload", "ReadWriteMount":
		return resource.Errorf(resource.Unsupported, "NotSupported", "%s.mode is %s; inputs are read-only files: use ReadOnlyMount, Download or Direct", field, input.Mode).At(field + ".mode")
	case "Direct":
		order.Values["inputs."+name] = input.URI
		return nil
	}
	if as.nobody() {
		return nobodyReads(field)
	}
	at, err := d.resolveAsset(ctx, call, r.ID.Parent(), input.URI)
	if err != nil {
		return inField(field+".uri", err)
	}
	switch input.JobInputType {
	case uriFile:
		at.Folder = false
	case customModel:
		at.Folder = at.Folder || at.Path == ""
	default:
		at.Folder = true
	}
	if !at.Folder && at.Path == "" {
		return resource.Invalidf("InvalidJob", "%s.uri names a whole container and the input is a file; name the file, or use %s", field, uriFolder).At(field + ".uri")
	}
	order.Inputs = append(order.Inputs, at.file(name))
	return nil
}

func (d Deps) settleOutput(ctx context.Context, call *arm.Call, r *arm.Resource[Job], as actor, name string, order *workload.Order) error {
	output, field := r.Properties.Outputs[name], "properties.outputs."+name
	if err := checkBinding(field, name, output != nil); err != nil {
		return err
	}
	var err error
	if output.JobOutputType, err = oneOf(field+".jobOutputType", output.JobOutputType, uriFolder, outputTypes...); err != nil {
		return err
	}
	if output.Mode, err = oneOf(field+".mode", output.Mode, "ReadWriteMount", "ReadWriteMount", "Upload", "Direct"); err != nil {
		return err
	}
	if output.PathOnCompute != "" {
		return resource.Errorf(resource.Unsupported, "NotSupported", "%s.pathOnCompute: outputs lie at /alvara/outputs/%s; leave the field out, and write ${{outputs.%s}} where the path is needed", field, name, name).At(field + ".pathOnCompute")
	}
	if output.AssetName != "" || output.AssetVersion != "" {
		return resource.Errorf(resource.Unsupported, "NotSupported", "%s.assetName: outputs are not registered by themselves; leave the field out, and create the asset of azureml://jobs/%s/outputs/%s when the job has completed", field, r.Name, name).At(field + ".assetName")
	}
	given := output.URI
	if output.URI = outputPlace(given, r.Name, name); output.JobOutputType == uriFile && given == "" {
		output.URI = strings.TrimSuffix(output.URI, "/")
	}
	if output.Mode == "Direct" {
		order.Values["outputs."+name] = output.URI
		return nil
	}
	if as.nobody() {
		return nobodyReads(field)
	}
	at, err := uriPlace(ctx, call, r.ID.Parent(), output.URI)
	if err != nil {
		return inField(field+".uri", err)
	}
	if at.Folder = output.JobOutputType != uriFile; !at.Folder && (at.Path == "" || strings.HasSuffix(output.URI, "/")) {
		return resource.Invalidf("InvalidJob", "%s.uri is %q, which is a folder, and the output is a file; name the file, or use %s", field, output.URI, uriFolder).At(field + ".uri")
	}
	order.Outputs = append(order.Outputs, at.file(name))
	return nil
}

// nobodyReads refuses files to a job that runs as nobody.
func nobodyReads(field string) error {
	return resource.Invalidf("IdentityRequired", "%s is read or written in storage, and the job runs as nobody. Run it as its submitter with the identityType %s, or as the compute's identity with %s; a literal value needs no identity.", field, userIdentity, managedIdentity).At(field)
}
