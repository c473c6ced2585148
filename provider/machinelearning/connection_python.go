package machinelearning

import "regexp"

// pythonPair is one entry of a flat dictionary as Python writes it, without quotes and backslashes inside; whatever needs more than that is not
// guessed at.
var (
	pythonPair = regexp.MustCompile(`'([^'"\\]*)': '([^'"\\]*)'`)
	pythonDict = regexp.MustCompile(`^\{` + pythonPair.String() + `(, ` + pythonPair.String() + `)*\}$`)
)

// readPythonDict reads the value of a connection as azureml-core sends a dictionary: the text that Python makes of it. nil for any
// other text.
func readPythonDict(text string) map[string]any {
	if !pythonDict.MatchString(text) {
		return nil
	}
	out := map[string]any{}
	for _, pair := range pythonPair.FindAllStringSubmatch(text, -1) {
		out[pair[1]] = pair[2]
	}
	return out
}
