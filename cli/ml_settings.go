package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/featurestore/spec"
)

// applySettings writes materialization settings of the YAML form over those of the wire; what was left out stays.
func applySettings(settings *document.Object, given *spec.MaterializationSettings) {
	offline, online := storeTypes(settings.Text("storeType"))
	if given.OfflineEnabled != nil {
		offline = *given.OfflineEnabled
	}
	if given.OnlineEnabled != nil {
		online = *given.OnlineEnabled
	}
	settings.Set("storeType", storeType(offline, online))
	if given.OnlineTTL != nil {
		settings.Set("onlineTtl", isoDuration(*given.OnlineTTL))
	}
	if s := given.Schedule; s != nil {
		schedule := document.New("triggerType", "Recurrence", "frequency", s.Frequency, "interval", s.Interval, "timeZone", s.TimeZone)
		if !s.StartTime.IsZero() {
			schedule.Set("startTime", s.StartTime.UTC().Format(time.RFC3339))
		}
		settings.Set("schedule", schedule)
	}
	if n := given.Notification; n != nil {
		settings.Set("notification", document.New("emailOn", document.Strings(n.EmailOn), "emails", document.Strings(n.Emails)))
	}
	if given.InstanceType != "" {
		settings.Set("resource", document.New("instanceType", given.InstanceType))
	}
	if given.SparkConfiguration != nil {
		settings.Set("sparkConfiguration", tagsDocument(given.SparkConfiguration))
	}
}

func storeTypes(text string) (offline, online bool) {
	switch text {
	case "Offline":
		return true, false
	case "Online":
		return false, true
	case "OnlineAndOffline":
		return true, true
	}
	return false, false
}

func storeType(offline, online bool) string {
	switch {
	case offline && online:
		return "OnlineAndOffline"
	case offline:
		return "Offline"
	case online:
		return "Online"
	}
	return "None"
}

// isoDuration writes a duration as ISO 8601, such as P30D or PT90M.
func isoDuration(d time.Duration) string {
	days, rest := d/(24*time.Hour), d%(24*time.Hour)
	var b strings.Builder
	b.WriteString("P")
	if days > 0 {
		fmt.Fprintf(&b, "%dD", days)
	}
	if rest > 0 || days == 0 {
		b.WriteString("T")
		hours, minutes, seconds := rest/time.Hour, rest%time.Hour/time.Minute, rest%time.Minute/time.Second
		if hours > 0 {
			fmt.Fprintf(&b, "%dH", hours)
		}
		if minutes > 0 {
			fmt.Fprintf(&b, "%dM", minutes)
		}
		if seconds > 0 || (hours == 0 && minutes == 0) {
			fmt.Fprintf(&b, "%dS", seconds)
		}
	}
	return b.String()
}

// settingsDocument is the YAML form of the wire's settings.
func settingsDocument(settings *document.Object) any {
	if settings == nil {
		return nil
	}
	offline, online := storeTypes(settings.Text("storeType"))
	out := document.New("offline_enabled", offline, "online_enabled", online)
	out.SetIf("online_ttl", settings.Text("onlineTtl"))
	if s := settings.Object("schedule"); s != nil {
		out.Set("schedule", document.New("type", "recurrence", "frequency", s.Get("frequency"), "interval", s.Get("interval"),
			"time_zone", s.Get("timeZone")).SetIf("start_time", s.Text("startTime")))
	}
	if n := settings.Object("notification"); n != nil {
		out.Set("notification", document.New("email_on", n.Get("emailOn"), "emails", n.Get("emails")))
	}
	if r := settings.Object("resource"); r != nil {
		out.Set("resource", document.New("instance_type", r.Get("instanceType")))
	}
	return out.SetIf("spark_configuration", settings.Object("sparkConfiguration"))
}
