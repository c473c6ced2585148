package build

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/image/layer"
)

// owner reads USER[:GROUP], by numbers or by the names in the image's own files. A user alone is the group of the same
// number too.
func owner(t layer.Tree, text string) (uid, gid int, err error) {
	if text == "" {
		return 0, 0, nil
	}
	user, group, has := strings.Cut(text, ":")
	if uid, err = id(t, "etc/passwd", user, "user"); err != nil {
		return 0, 0, err
	}
	if !has || group == "" {
		return uid, uid, nil
	}
	gid, err = id(t, "etc/group", group, "group")
	return uid, gid, err
}

func id(t layer.Tree, file, name, kind string) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	resolved, err := layer.Resolve(t, file, true)
	if err != nil {
		return 0, err
	}
	text, err := layer.ReadFile(t, resolved, 4<<20)
	if err != nil {
		return 0, fmt.Errorf("the %s %q is no number, and the image has no readable /%s", kind, name, file)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) > 2 && fields[0] == name {
			if n, err := strconv.ParseUint(fields[2], 10, 31); err == nil {
				return int(n), nil
			}
		}
	}
	return 0, errors.Join(lines.Err(), fmt.Errorf("the image's /%s has no %s %q", file, kind, name))
}
