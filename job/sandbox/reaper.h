// What the program writes into the image of the reaper, what the reaper reports, and where things are. See reaper.c.
#ifndef SANDBOX_REAPER_H
#define SANDBOX_REAPER_H

#include <stdint.h>

#define REAPER_BASE 0x10000000 // where the image is loaded
#define REAPER_FILTER 0x100    // from there: a struct reaper_filter
#define REAPER_CODE 0x4000     // from there: the code
#define REAPER_MOST 2000       // instructions of a filter
#define REAPER_SELF 3          // the image's own file
#define REAPER_REPORT 4        // the pipe for reports

struct reaper_filter {
	uint32_t length, reserved;
	uint64_t instructions[REAPER_MOST];
};

// One per reaper, at its end.
struct reaper_report {
	uint32_t kind; // REAPER_*
	int32_t value; // a wait status, or an errno
	int64_t user_us, system_us, peak_kb;
};

#define REAPER_ENDED 1    // the command ended with this wait status
#define REAPER_NOFILTER 2 // the filter could not be installed: errno
#define REAPER_NOEXEC 3   // the command could not be executed: errno
#define REAPER_NOFORK 4   // no process for the command: errno

// The code, its length in bytes, and where in it the program begins.
const void *sandbox_reaper_code(void);
long sandbox_reaper_length(void);
long sandbox_reaper_begin(void);

#endif
