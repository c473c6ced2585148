package machinelearning

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/featurestore/ledger"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// ledgers are the data intervals of a feature set version, for both stores. Revision is the document's ETag.
type ledgers struct {
	Offline  ledger.Ledger `json:"offline"`
	Online   ledger.Ledger `json:"online"`
	Revision string        `json:"-"`
}

const ledgerKind = "featurestore/ledgers"

func ledgerKey(version resource.ID) string { return version.Key() + "#ledger" }

func readLedgers(ctx context.Context, st store.Store, version resource.ID) (ledgers, error) {
	var l ledgers
	doc, err := st.Get(ctx, ledgerKey(version))
	if resource.KindOf(err) == resource.NotFound {
		l.Revision = store.None
		return l, nil
	}
	if err != nil {
		return l, err
	}
	l.Revision = doc.ETag
	return l, json.Unmarshal(doc.Body, &l)
}

func (l ledgers) put(version resource.ID) (store.Put, error) {
	body, err := json.Marshal(l)
	return store.Put{Key: ledgerKey(version), Kind: ledgerKind, Body: body, IfMatch: l.Revision}, err
}

// forgetLedger removes the ledger with its version. A version that a job is materializing stays, unless all of its store
// goes, which takes the jobs along.
func forgetLedger(ctx context.Context, call *arm.Call, r *arm.Resource[FeatureSetVersion]) ([]store.Op, error) {
	l, err := readLedgers(ctx, call.Manager.Store, r.ID)
	if err != nil {
		return nil, err
	}
	below := strings.HasPrefix(call.Target.Type.Key(), featureSetType.Key())
	if job := l.pending(); job != "" && below {
		return nil, resource.Conflictf("FeatureSetInUse", "The job %s is materializing %s:%s; wait until it has ended, or cancel it first.", job, r.ID.Parent().Name(), r.Name)
	}
	if l.Revision == store.None { // and it must not come into being meanwhile
		return []store.Op{store.Expect{Key: ledgerKey(r.ID), IfMatch: store.None}}, nil
	}
	return []store.Op{store.Delete{Key: ledgerKey(r.ID), IfMatch: l.Revision}}, nil
}

// pending names a job that is materializing, or "".
func (l ledgers) pending() string {
	for _, part := range []ledger.Ledger{l.Offline, l.Online} {
		intervals, _ := part.Records(nil) // a whole ledger has no bounds that could be wrong
		for _, interval := range intervals {
			if interval.Status == ledger.Pending {
				return interval.JobID
			}
		}
	}
	return ""
}

// dataIntervals shows the data intervals of a version; ?start= and ?end= narrow them.
func dataIntervals(ctx context.Context, call *arm.Call, r *arm.Resource[FeatureSetVersion]) (any, error) {
	l, err := readLedgers(ctx, call.Manager.Store, r.ID)
	if err != nil {
		return nil, err
	}
	window, err := windowOf(call.QueryValue("start"), call.QueryValue("end"))
	if err != nil {
		return nil, err
	}
	offline, err := l.Offline.Intervals(window)
	if err != nil {
		return nil, err
	}
	online, err := l.Online.Intervals(window)
	if err != nil {
		return nil, err
	}
	return map[string]any{"offline": notNil(offline), "online": notNil(online)}, nil
}

func notNil(intervals []ledger.Interval) []ledger.Interval {
	if intervals == nil {
		return []ledger.Interval{}
	}
	return intervals
}
