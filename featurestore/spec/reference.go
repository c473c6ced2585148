package spec

import (
	"regexp"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

var (
	assetName    = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]*$`)
	assetVersion = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)
)

// longestName is how many characters a name or version has at most. The patterns leave it out: counting makes them large, and every
// start of the program compiles them.
const longestName = 255

func fits(form *regexp.Regexp, text string) bool {
	return len(text) <= longestName && form.MatchString(text)
}

// CheckAssetName tells what is wrong with the name of an entity, a feature set or a store: letters, digits, '_' and '-',
// the first a letter or a digit, at most 255.
func CheckAssetName(name string) error {
	if !fits(assetName, name) {
		return invalid("the name %q is not allowed; expected 1 to 255 letters, digits, '_' and '-', the first a letter or a digit", short(name))
	}
	return nil
}

// CheckVersion tells what is wrong with a version: letters, digits, '.', '_' and '-', the first a letter or a digit, at
// most 255.
func CheckVersion(version string) error {
	if !fits(assetVersion, version) {
		return invalid("the version %q is not allowed; expected 1 to 255 letters, digits, '.', '_' and '-', the first a letter or a digit", short(version))
	}
	return nil
}

func short(text string) string {
	if runes := []rune(text); len(runes) > 60 {
		return string(runes[:60]) + "…"
	}
	return text
}

// FeatureRef asks for one feature of a feature set's version, or for all of them.
type FeatureRef struct {
	Set     string
	Version string
	Feature string // "" asks for all features
	Prefix  string // the columns of the result are named Prefix + "_" + feature; "" leaves the names as they are
}

const codeInvalidReference = "InvalidFeatureReference"

// ParseFeatureRef reads name:version or name:version:feature, each with an optional prefix= in front. Errors are of kind
// Invalid with code InvalidFeatureReference.
func ParseFeatureRef(text string) (FeatureRef, error) {
	const expected = "expected name:version, such as transactions:1, or name:version:feature, such as accounts:1:accountAge"
	fail := func(why string) (FeatureRef, error) {
		return FeatureRef{}, resource.Invalidf(codeInvalidReference, "the feature reference %q %s; %s", short(text), why, expected)
	}
	rest := text
	var ref FeatureRef
	if prefix, after, found := strings.Cut(text, "="); found {
		if err := CheckColumnName(prefix); err != nil {
			return fail("has a prefix that cannot start a column name (" + message(err) + ")")
		}
		ref.Prefix, rest = prefix, after
	}
	parts := strings.Split(rest, ":")
	switch {
	case len(parts) < 2:
		return fail("names no version")
	case len(parts) > 3:
		return fail("has more than three parts; names may not contain ':'")
	}
	ref.Set, ref.Version = parts[0], parts[1]
	if err := CheckAssetName(ref.Set); err != nil {
		return fail("names no feature set (" + message(err) + ")")
	}
	if err := CheckVersion(ref.Version); err != nil {
		return fail("names no version (" + message(err) + ")")
	}
	if len(parts) == 3 {
		ref.Feature = parts[2]
		if err := CheckColumnName(ref.Feature); err != nil {
			return fail("names no feature (" + message(err) + ")")
		}
	}
	return ref, nil
}

// String writes the reference as ParseFeatureRef reads it.
func (r FeatureRef) String() string {
	text := r.Set + ":" + r.Version
	if r.Feature != "" {
		text += ":" + r.Feature
	}
	if r.Prefix != "" {
		text = r.Prefix + "=" + text
	}
	return text
}

// ColumnName is the result's column for a feature of the set.
func (r FeatureRef) ColumnName(feature string) string {
	if r.Prefix == "" {
		return feature
	}
	return r.Prefix + "_" + feature
}

// VersionRef names a version of an entity or a feature set.
type VersionRef struct {
	Name    string
	Version string
}

// ParseVersionRef reads azureml:name:version or name:version.
func ParseVersionRef(text string) (VersionRef, error) {
	parts := strings.Split(text, ":")
	if len(parts) == 3 && strings.EqualFold(parts[0], "azureml") {
		parts = parts[1:]
	}
	if len(parts) != 2 || !fits(assetName, parts[0]) || !fits(assetVersion, parts[1]) {
		return VersionRef{}, resource.Invalidf(codeInvalidReference, "the reference %q is malformed; expected azureml:name:version, "+
			"such as azureml:account:1", short(text))
	}
	return VersionRef{Name: parts[0], Version: parts[1]}, nil
}

// String writes name:version.
func (r VersionRef) String() string { return r.Name + ":" + r.Version }
