package main

import (
	"encoding/json"
	"math"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/bench"
)

// TestBench runs every measurement from end to end at a size that says nothing about speed, and holds the JSON to the shape
// that the documentation gives.
func TestBench(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	program, err := exec.LookPath("alvara") // testscript puts this test there under the program's name
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	found, err := bench.Run(t.Context(), bench.Options{Scale: 1000, Rounds: 1, Program: []string{program}, Log: &log})
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	text, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range list {
		keys := make([]string, 0, len(m))
		for key := range m {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		if want := []string{"id", "limit", "met", "name", "ours", "peer", "ratio", "size", "target"}; !slices.Equal(keys, want) {
			t.Errorf("%v has the fields %v, want %v", m["name"], keys, want)
		}
		if ratio, ok := m["ratio"].(float64); !ok || ratio <= 0 || math.IsInf(ratio, 0) {
			t.Errorf("%v: the ratio is %v", m["name"], m["ratio"])
		}
		for _, side := range []string{"ours", "limit"} {
			cost, _ := m[side].(map[string]any)
			for _, quantity := range []string{"wall_s", "cpu_s", "peak_rss_mb"} {
				if v, ok := cost[quantity].(float64); !ok || v < 0 {
					t.Errorf("%v: %s.%s is %v", m["name"], side, quantity, cost[quantity])
				}
			}
		}
		if id, _ := m["id"].(string); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if !slices.Equal(ids, bench.IDs()) {
		t.Errorf("measured %v, want %v", ids, bench.IDs())
	}
}

func TestBenchKnowsItsMeasurements(t *testing.T) {
	if _, err := bench.Run(t.Context(), bench.Options{IDs: []string{"P99"}}); err == nil || !strings.Contains(err.Error(), "P1, P2") {
		t.Errorf("P99 gives %v; the measurements that there are were expected", err)
	}
}
