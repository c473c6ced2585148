//go:build linux

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
)

// prepare does what libcontainer needs once in the process.
//
// It keeps the folder of cgroups open that it opens first. That must not be the one of a mount namespace which ends with a command.
var prepare = sync.OnceFunc(func() {
	useDeviceRules()
	_, _ = cgroups.ReadFile("/sys/fs/cgroup", "cgroup.controllers") // only version 2 has it, and it is the opening that counts
})

// useDeviceRules tells libcontainer how device rules get into cgroups. Its own way serves any rules in any order and needs an
// assembler for eBPF; ours are a plain list of what is allowed. They are the second wall: the first is that nobody inside can make a
// device node, and that those in mounted folders are dead (MS_NODEV).
func useDeviceRules() {
	cgroups.DevicesSetV1 = writeDeviceRules
	cgroups.DevicesSetV2 = attachDeviceRules
}

// writeDeviceRules denies all devices in a cgroup of version 1 but those that are listed.
func writeDeviceRules(path string, r *cgroups.Resources) error {
	if err := os.WriteFile(filepath.Join(path, "devices.deny"), []byte("a"), 0); err != nil {
		return fmt.Errorf("deny devices: %w", err)
	}
	for _, rule := range r.Devices {
		if err := allowedCharDevice(rule); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(path, "devices.allow"), []byte(rule.CgroupString()), 0); err != nil {
			return fmt.Errorf("allow the device %s: %w", rule.CgroupString(), err)
		}
	}
	return nil
}

// allowedCharDevice guards the assumption that both ways make about rules.
func allowedCharDevice(rule *devices.Rule) error {
	if !rule.Allow || rule.Type != devices.CharDevice || rule.Major == devices.Wildcard {
		return fmt.Errorf("the device rule %s is of a kind that is not used here", rule.CgroupString())
	}
	return nil
}
