package sandbox

import "os"

// FirstID is the id outside that is 0 inside, with root's rights, and IDs is how many follow. The range lies above what systems
// give to accounts and to the subordinate ids of their first users; it has to be free on the machine.
const (
	FirstID = 231072
	IDs     = 65536
)

// Mapping tells which ids outside the ids inside are: the user u is Host+u, the group g is Group+g, for ids below Size.
type Mapping struct {
	Host, Group, Size uint32
}

// Map is the mapping that this process can use: FirstID and IDs with root's rights, otherwise its own user and group as 0 and no other.
func Map() Mapping {
	if os.Geteuid() == 0 {
		return Mapping{Host: FirstID, Group: FirstID, Size: IDs}
	}
	return Mapping{Host: uint32(os.Geteuid()), Group: uint32(os.Getegid()), Size: 1}
}

// UID gives the user outside who is the given one inside, and whether there is one.
func (m Mapping) UID(inside uint32) (uint32, bool) { return m.Host + inside, inside < m.Size }

// GID gives the group outside that is the given one inside, and whether there is one.
func (m Mapping) GID(inside uint32) (uint32, bool) { return m.Group + inside, inside < m.Size }
