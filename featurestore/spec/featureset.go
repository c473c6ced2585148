package spec

import (
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/alvara-ml/alvara/resource"
)

// FeatureSet is the file that creates or updates a version of a feature set. Fields that an update leaves out are empty.
type FeatureSet struct {
	Name              string
	Version           string
	Description       string
	SpecificationPath string       // a local folder relative to the file, or a URI
	Entities          []VersionRef // in the order written
	Stage             Stage        // on create Development by default; on update "" when left out
	Tags              map[string]string
	Materialization   *MaterializationSettings
}

// MaterializationSettings say where and when a feature set is materialized. Nil pointers were left out.
type MaterializationSettings struct {
	OfflineEnabled     *bool
	OnlineEnabled      *bool
	OnlineTTL          *time.Duration // counts from the event's time; more than 0; nil keeps rows for ever
	Schedule           *Schedule
	Notification       *Notification
	InstanceType       string            // resource.instance_type
	SparkConfiguration map[string]string // kept as it is
}

// Schedule is a recurrence.
type Schedule struct {
	Frequency string    // Minute, Hour, Day, Week or Month
	Interval  int       // at least 1
	TimeZone  string    // UTC by default
	StartTime time.Time // zero when left out
}

// Every is the time between two triggers; false for Month, whose length varies.
func (s Schedule) Every() (time.Duration, bool) {
	size := unitSize(s.Frequency)
	return time.Duration(s.Interval) * size, size > 0
}

// Notification says who hears of which results of jobs.
type Notification struct {
	EmailOn []string // JobFailed, JobCompleted, JobCancelled
	Emails  []string
}

// ParseFeatureSet reads featureset_asset.yaml for create; file is its name in messages.
func ParseFeatureSet(file string, data []byte) (*FeatureSet, error) {
	return parseFeatureSet(file, data, true)
}

// ParseFeatureSetUpdate reads a file for update: the same fields, and none is required.
func ParseFeatureSetUpdate(file string, data []byte) (*FeatureSet, error) {
	return parseFeatureSet(file, data, false)
}

func parseFeatureSet(file string, data []byte, create bool) (*FeatureSet, error) {
	r, root := openDocument(file, data)
	o := root.object("$schema", "name", "version", "description", "specification", "entities", "stage", "tags",
		"materialization_settings")
	o.get("$schema").text()
	field := func(name, expected string) value {
		if create {
			return o.require(name, expected)
		}
		return o.get(name)
	}
	stage := Stage("")
	if create {
		stage = Development
	}
	s := &FeatureSet{
		Name:            field("name", "give the feature set's name").assetName(),
		Version:         field("version", "give the feature set's version").version(),
		Description:     o.get("description").text(),
		Stage:           o.get("stage").stage(stage),
		Tags:            o.get("tags").texts(),
		Materialization: o.get("materialization_settings").materialization(),
	}
	specification := field("specification", "give specification.path, the folder of "+FileName)
	if path := specification.object("path").require("path", "give the folder of "+FileName); path.present() {
		s.SpecificationPath = path.text()
		if isText(path) && (strings.TrimSpace(s.SpecificationPath) == "" || hasControl(s.SpecificationPath)) {
			path.fault("%s is empty or has control characters", path.path)
		}
	}
	seen := map[string]bool{}
	for _, item := range field("entities", "name at least one, such as azureml:account:1").nonEmptyList() {
		text := item.text()
		if !isText(item) {
			continue
		}
		ref, err := ParseVersionRef(text)
		switch {
		case err != nil:
			item.fault("%s: %s", item.path, err.(*resource.Error).Message)
		case seen[strings.ToLower(ref.Name)]:
			item.fault("%s: the entity %q is listed already", item.path, ref.Name)
		}
		seen[strings.ToLower(ref.Name)] = true
		s.Entities = append(s.Entities, ref)
	}
	if err := r.err(codeInvalidSpec); err != nil {
		return nil, err
	}
	return s, nil
}

func (v value) materialization() *MaterializationSettings {
	if !v.present() {
		return nil
	}
	o := v.object("offline_enabled", "online_enabled", "online_ttl", "schedule", "notification", "resource", "spark_configuration")
	m := &MaterializationSettings{
		OfflineEnabled:     o.get("offline_enabled").optionalBool(),
		OnlineEnabled:      o.get("online_enabled").optionalBool(),
		OnlineTTL:          o.get("online_ttl").ttl(),
		Schedule:           o.get("schedule").schedule(),
		Notification:       o.get("notification").notification(),
		InstanceType:       o.get("resource").object("instance_type").get("instance_type").text(),
		SparkConfiguration: o.get("spark_configuration").texts(),
	}
	return m
}

func (v value) optionalBool() *bool {
	if !v.present() {
		return nil
	}
	b := v.boolean()
	return &b
}

// ttl reads {days, hours, minutes} or an ISO-8601 duration.
func (v value) ttl() *time.Duration {
	if !v.present() {
		return nil
	}
	before := len(v.r.faults)
	var d time.Duration
	if _, ok := v.node.(*ast.StringNode); ok {
		parsed, err := ParseISODuration(v.text())
		if err != nil {
			v.fault("%s: %s", v.path, message(err))
		}
		d = parsed
	} else {
		d = v.duration()
	}
	if d <= 0 && len(v.r.faults) == before {
		v.fault("%s is zero, which would drop every row at once; give a longer one, or leave it out to keep rows", v.path)
	}
	return &d
}

func (v value) schedule() *Schedule {
	if !v.present() {
		return nil
	}
	o := v.object("type", "frequency", "interval", "time_zone", "start_time")
	o.require("type", "expected recurrence").oneOf("recurrence")
	s := &Schedule{
		Frequency: o.require("frequency", "expected Minute, Hour, Day, Week or Month").oneOf("Minute", "Hour", "Day", "Week", "Month"),
		TimeZone:  o.get("time_zone").text(),
	}
	if s.TimeZone == "" {
		s.TimeZone = "UTC"
	}
	if interval := o.require("interval", "give the number of units between two triggers"); interval.present() {
		before := len(v.r.faults)
		n := interval.integer()
		if (n < 1 || n > 1000) && len(v.r.faults) == before {
			interval.fault("%s is %d; expected 1 to 1000", interval.path, n)
		}
		s.Interval = int(n)
	}
	if start := o.get("start_time"); start.present() {
		t, err := ParseTime(start.text())
		if err != nil && isText(start) {
			start.fault("%s: %s", start.path, err.(*resource.Error).Message)
		}
		s.StartTime = t
	}
	return s
}

func (v value) notification() *Notification {
	if !v.present() {
		return nil
	}
	o := v.object("email_on", "emails")
	n := &Notification{}
	for _, item := range o.require("email_on", "expected a list of JobFailed, JobCompleted, JobCancelled").nonEmptyList() {
		n.EmailOn = append(n.EmailOn, item.oneOf("JobFailed", "JobCompleted", "JobCancelled"))
	}
	for _, item := range o.require("emails", "expected a list of addresses").nonEmptyList() {
		address := item.text()
		if name, host, found := strings.Cut(address, "@"); isText(item) && (!found || name == "" || host == "" || strings.ContainsAny(address, " ,;\r\n")) {
			item.fault("%s is %q; an e-mail address was expected", item.path, short(address))
		}
		n.Emails = append(n.Emails, address)
	}
	return n
}
