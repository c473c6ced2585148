package spec

import (
	"fmt"
	"strings"
)

// suggestion names the known word that is nearest to a wrong one, or all of them when none is near.
func suggestion(wrong string, known []string) string {
	best, distance := "", len(wrong)/2+1
	for _, candidate := range known {
		if d := editDistance(plain(wrong), plain(candidate)); d < distance {
			best, distance = candidate, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "known are " + strings.Join(known, ", ")
}

// plain drops case and separators: sourceDelay and Source-Delay are both near source_delay.
func plain(word string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(word))
}

// editDistance counts insertions, deletions and replacements of bytes; long words are cut.
func editDistance(a, b string) int {
	const longest = 64
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := diagonal
			if a[i-1] != b[j-1] {
				replaced++
			}
			diagonal = row[j]
			row[j] = min(row[j]+1, row[j-1]+1, replaced)
		}
	}
	return row[len(b)]
}
