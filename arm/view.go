package arm

import (
	"context"
	"strings"
)

// view finds the view that a path matches.
func (m *Manager) view(method, path string) (View, map[string]string, bool) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	for _, v := range m.views {
		want := v.Method
		if want == "" {
			want = "GET"
		}
		if !strings.EqualFold(want, method) {
			continue
		}
		if params, ok := matchPattern(v.Pattern, segments); ok {
			return v, params, true
		}
	}
	return View{}, nil, false
}

func matchPattern(pattern string, segments []string) (map[string]string, bool) {
	words := strings.Split(strings.Trim(pattern, "/"), "/")
	if len(words) != len(segments) {
		return nil, false
	}
	params := map[string]string{}
	for i, word := range words {
		if name, ok := strings.CutPrefix(word, "{"); ok {
			params[strings.TrimSuffix(name, "}")] = segments[i]
		} else if !strings.EqualFold(word, segments[i]) {
			return nil, false
		}
	}
	return params, true
}

func (m *Manager) serveView(ctx context.Context, call *Call, view View, params map[string]string) (*Response, error) {
	if view.Scope != nil {
		call.Target.ID = view.Scope(params)
	}
	if view.Action != "" {
		if err := m.authorize(ctx, call, view.Action, call.Target.ID); err != nil {
			return nil, err
		}
	}
	body, err := view.Run(ctx, call, params)
	if err != nil {
		return nil, err
	}
	if response, ok := body.(*Response); ok {
		return response, nil
	}
	return &Response{Status: 200, Body: body}, nil
}
