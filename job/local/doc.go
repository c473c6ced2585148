// Package local runs jobs on this machine so that they survive whoever started them: it is the job.Backend. It owns a run's folder, the
// process that supervises a run, its log, its forwarded addresses, the socket at which it is served, and the rule that a run is never begun twice. How a node is run is a
// driver's affair (packages process and sandboxed).
//
// # A run's life
//
// Start makes the run's folder, takes its lock, and starts this program again as the run's supervisor, in a session of its own. The
// supervisor inherits the lock, so there is no moment at which somebody else could begin the run. It runs the nodes, writes what they
// say to their logs, writes how the run ended, and ends; with it, the lock is free. Whoever wants to know how a run is reads its
// record; whoever waits for it waits until the lock is free.
//
// A server that is killed leaves its supervisors alone; the next one opens the runs by their ids. When a supervisor itself is killed, its
// nodes die with it, the lock is free and the record does not say how the run ended: the next one who looks cleans up and
// records the run as lost. A run that was never begun, because the server died before its supervisor wrote the first record, is not
// there (NotFound), and can be started again.
//
// # The folder of a run
//
//	lock        locked (flock) from Start to the end of the supervisor
//	alive       a pipe that the supervisor holds open for writing: it reads as ended when the supervisor has
//	control     a pipe from which the supervisor reads what it is asked to do
//	order       what was started, and how
//	secrets     Spec.Secrets, until the end
//	record      how the run is; replaced as a whole
//	reserve     some bytes that are given up when the disk is full, for the last record
//	nodes/      what nodes need while they run, such as the changes to their images
//	0.log …     what each node wrote
//	supervisor  what the supervisor itself wrote to standard error, for people
//
// The folder can be read by the server's user alone. A system that ends all processes of a service with it (systemd without
// KillMode=process) ends the runs too.
package local
