package spec

import (
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

func TestParseFeatureRef(t *testing.T) {
	for text, want := range map[string]FeatureRef{
		"transactions:1":              {Set: "transactions", Version: "1"},
		"accounts:1.0-rc:accountAge":  {Set: "accounts", Version: "1.0-rc", Feature: "accountAge"},
		"a=accounts:1":                {Prefix: "a", Set: "accounts", Version: "1"},
		"acc=accounts:v_2:accountAge": {Prefix: "acc", Set: "accounts", Version: "v_2", Feature: "accountAge"},
	} {
		got, err := ParseFeatureRef(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v, %v, written %s", text, got, err, got)
		}
	}
	if got := (FeatureRef{Prefix: "a"}).ColumnName("x") + (FeatureRef{}).ColumnName("y"); got != "a_xy" {
		t.Errorf("column names are %s", got)
	}
	for text, want := range map[string]string{
		"": "names no version", "transactions": "names no version", "a:1:b:c": "names may not contain ':'", ":1": `the name "" is not allowed`,
		"a:": `the version "" is not allowed`, "a:1:": "a column name is empty", "a b:1": "names no feature set", "a:1:b c": "names no feature (",
		"=a:1": "has a prefix", "1x=a:1": "has a prefix", "a=b=c:1": "names no feature set", "a:1=b:c": "has a prefix",
		strings.Repeat("x", 300) + ":1": "names no feature set", "a/b:1": "names no feature set", "a:..:b": "names no version",
	} {
		_, err := ParseFeatureRef(text)
		e, ok := resource.AsError(err)
		if !ok || e.Kind != resource.Invalid || e.Code != "InvalidFeatureReference" || !strings.Contains(e.Message, want) {
			t.Errorf("%q: want %q, got %v", text, want, err)
		}
	}
	for text, want := range map[string]string{"azureml:account:1": "account:1", "account:1": "account:1", "a:b:c": "", "account": "", "azureml:x": "azureml:x"} {
		got, err := ParseVersionRef(text)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"2020-01-01":                       "2020-01-01T00:00:00Z",
		"2020-01-01 00:00:00":              "2020-01-01T00:00:00Z",
		"2020-01-01T12:30":                 "2020-01-01T12:30:00Z",
		"2020-01-01T12:30:01.5":            "2020-01-01T12:30:01.5Z",
		"2020-01-01T00:00:00Z":             "2020-01-01T00:00:00Z",
		"2020-01-01T00:00:00.000001+02:00": "2019-12-31T22:00:00.000001Z",
		"2020-01-01 00:00:00-05:00":        "2020-01-01T05:00:00Z",
		"2020-02-30":                       "", "yesterday": "", "": "", "20200101": "", "2020-01-01T25:00:00Z": "", "1577836800": "",
		"2020-01-01T00:00:00.0000001Z": "", "0000-01-01": "", "0001-01-01T00:00:00+01:00": "", "9999-12-31T23:59:59-01:00": "",
	} {
		got, err := ParseTime(text)
		if err != nil {
			if e, ok := resource.AsError(err); want != "" || !ok || e.Code != "InvalidTime" {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if got.Format(time.RFC3339Nano) != want || got.Location() != time.UTC {
			t.Errorf("%q is %s, want %s", text, got.Format(time.RFC3339Nano), want)
		}
	}
}

func TestParseISODuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"P30D": 30 * day, "PT12H": 12 * time.Hour, "P1DT6H30M": 30*time.Hour + 30*time.Minute, "p2w": 14 * day, "PT90S": 90 * time.Second,
		"P": -1, "PT": -1, "P1DT": -1, "30D": -1, "P1M": -1, "P1Y": -1, "PD": -1, "P1": -1, "PT1D": -1, "P1H": -1, "P1D1D": -1, "PT1M1H": -1,
		"P-1D": -1, "P1.5D": -1, "P99999999999999999999D": -1, "P36500DT1S": -1, "PT1HT1M": -1, "": -1, "é": -1,
	} {
		got, err := ParseISODuration(text)
		if (err == nil) != (want >= 0) || err == nil && got != want {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	for d, want := range map[time.Duration]string{0: "0 minutes", day: "1 day", 36*time.Hour + 5*time.Minute: "1 day 12 hours 5 minutes",
		time.Millisecond: "1ms", -2 * time.Hour: "-2 hours", 14 * day: "14 days"} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%d is %q, want %q", d, got, want)
		}
	}
}
