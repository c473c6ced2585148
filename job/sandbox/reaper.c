// The reaper is process 1 of every sandbox: it installs the system call filter, starts the command, collects the processes
// that end, passes signals on to the command, and ends with it. With it the kernel ends everything inside.
//
// It is a program of its own, of about a thousand bytes, without a library: all its code is in a section of its own, uses
// no data but its stack and no address but its own, and is copied by reaper.go into an ELF image that is executed inside.
// Thus nothing has to be installed in the root file system, and the large program is not loaded once more.
//
// It is started as: NAME PATH... "" ARG...; each PATH is tried until one can be executed.

#include "reaper.h"

#define HIDDEN __attribute__((visibility("hidden")))
#define INLINE static inline __attribute__((always_inline))

#if defined(__GNUC__) && !defined(__clang__)
// Nothing may become a call of a library's function, a table or a constant elsewhere, or move to another section.
#pragma GCC optimize("no-tree-loop-distribute-patterns", "no-reorder-blocks-and-partition", "no-stack-protector", "no-jump-tables")
#if defined(__x86_64__)
#pragma GCC target("general-regs-only")
#endif
#endif

#if defined(__x86_64__)
enum { NR_write = 1, NR_close = 3, NR_sigaction = 13, NR_sigprocmask = 14, NR_clone = 56, NR_execve = 59, NR_wait4 = 61,
       NR_kill = 62, NR_fcntl = 72, NR_setsid = 112, NR_sigtimedwait = 128, NR_prctl = 157, NR_exit_group = 231,
       NR_ppoll = 271, NR_seccomp = 317 };

__asm__(".pushsection sandbox_reaper,\"ax\",@progbits\n"
	".globl sandbox_reaper_entry\n"
	".hidden sandbox_reaper_entry\n"
	"sandbox_reaper_entry:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call sandbox_reaper_main\n"
	"	hlt\n"
	".popsection\n");

INLINE long call(long n, long a, long b, long c, long d, long e) {
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long result;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
enum { NR_write = 64, NR_close = 57, NR_sigaction = 134, NR_sigprocmask = 135, NR_clone = 220, NR_execve = 221, NR_wait4 = 260,
       NR_kill = 129, NR_fcntl = 25, NR_setsid = 157, NR_sigtimedwait = 137, NR_prctl = 167, NR_exit_group = 94,
       NR_ppoll = 73, NR_seccomp = 277 };

__asm__(".pushsection sandbox_reaper,\"ax\",%progbits\n"
	".globl sandbox_reaper_entry\n"
	".hidden sandbox_reaper_entry\n"
	"sandbox_reaper_entry:\n"
	"	mov x29, #0\n"
	"	mov x30, #0\n"
	"	mov x0, sp\n"
	"	bl sandbox_reaper_main\n"
	"	brk #1\n"
	".popsection\n");

INLINE long call(long n, long a, long b, long c, long d, long e) {
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}
#else
#error "the sandbox has no reaper for this architecture"
#endif

// The kernel's own numbers and structures, on both architectures.
enum { SIGKILL_ = 9, SIGCHLD_ = 17, EACCES_ = 13, ENOENT_ = 2, ENOTDIR_ = 20, EINTR_ = 4 };
enum { F_SETFD_ = 2, FD_CLOEXEC_ = 1, WNOHANG_ = 1, SIG_SETMASK_ = 2, SIGNALS = 64, SET_SIZE = 8 };
enum { PR_SET_PDEATHSIG_ = 1, PR_SET_DUMPABLE_ = 4, PR_SET_NO_NEW_PRIVS_ = 38, SECCOMP_SET_MODE_FILTER_ = 1, POLLERR_ = 8 };
struct kernel_prog { uint16_t length; const void *instructions; };
struct kernel_poll { int32_t fd; int16_t events, found; };
struct kernel_time { int64_t seconds, rest; };
struct kernel_usage { struct kernel_time user, system; int64_t peak_kb, others[13]; };
struct kernel_action { uint64_t handler, flags, restorer, mask; };

INLINE void report(uint32_t kind, int32_t value, const struct kernel_usage *usage) {
	struct reaper_report r;
	r.kind = kind;
	r.value = value;
	r.user_us = usage ? usage->user.seconds * 1000000 + usage->user.rest : 0;
	r.system_us = usage ? usage->system.seconds * 1000000 + usage->system.rest : 0;
	r.peak_kb = usage ? usage->peak_kb : 0;
	call(NR_write, REAPER_REPORT, (long)&r, sizeof r, 0, 0);
}

__attribute__((noreturn)) INLINE void leave(int status) {
	for (;;)
		call(NR_exit_group, status, 0, 0, 0, 0);
}

// command becomes the command, or ends as shells do when there is none.
__attribute__((noreturn)) INLINE void command(char **paths, char **args, char **env) {
	uint64_t none = 0;
	call(NR_setsid, 0, 0, 0, 0, 0);
	call(NR_sigprocmask, SIG_SETMASK_, (long)&none, 0, SET_SIZE, 0);
	long why = -ENOENT_;
	for (; **paths; paths++) {
		long error = call(NR_execve, (long)*paths, (long)args, (long)env, 0, 0);
		if (error == -ENOENT_ || error == -ENOTDIR_)
			continue;
		why = error;
		if (error != -EACCES_) // one that is there and cannot be executed is the answer, unless it was merely not allowed
			break;
	}
	report(REAPER_NOEXEC, (int32_t)-why, 0);
	leave(why == -ENOENT_ ? 127 : 126);
}

// reap collects those that ended and leaves with the command's status when it is among them.
INLINE void reap(long command) {
	for (;;) {
		int32_t status = 0;
		struct kernel_usage usage;
		long ended = call(NR_wait4, -1, (long)&status, WNOHANG_, (long)&usage, 0);
		if (ended <= 0)
			return;
		if (ended != command)
			continue;
		report(REAPER_ENDED, status, &usage);
		leave((status & 0x7f) ? 128 + (status & 0x7f) : (status >> 8) & 0xff);
	}
}

__attribute__((section("sandbox_reaper"), noinline, used, noreturn)) HIDDEN void sandbox_reaper_main(long *stack) {
	char **argv = (char **)(stack + 1);
	char **env = argv + stack[0] + 1;
	char **paths = argv + 1, **args = paths;
	while (**args)
		args++;
	args++;

	// The caller may have died before the first line took effect; then nobody reads the pipe any more.
	call(NR_prctl, PR_SET_PDEATHSIG_, SIGKILL_, 0, 0, 0);
	call(NR_prctl, PR_SET_DUMPABLE_, 0, 0, 0, 0);
	call(NR_prctl, PR_SET_NO_NEW_PRIVS_, 1, 0, 0, 0);
	call(NR_close, REAPER_SELF, 0, 0, 0, 0);
	call(NR_fcntl, REAPER_REPORT, F_SETFD_, FD_CLOEXEC_, 0, 0);
	struct kernel_poll pipe;
	pipe.fd = REAPER_REPORT;
	pipe.events = pipe.found = 0;
	struct kernel_time now;
	now.seconds = now.rest = 0;
	if (call(NR_ppoll, (long)&pipe, 1, (long)&now, 0, 0) == 1 && (pipe.found & POLLERR_))
		leave(255);

	struct kernel_action usual;
	usual.handler = usual.flags = usual.restorer = usual.mask = 0;
	for (long signal = 1; signal <= SIGNALS; signal++) // those that the caller's program ignores would stay ignored
		call(NR_sigaction, signal, (long)&usual, 0, SET_SIZE, 0);
	uint64_t all = ~(uint64_t)0;
	call(NR_sigprocmask, SIG_SETMASK_, (long)&all, 0, SET_SIZE, 0);

	const struct reaper_filter *filter = (const struct reaper_filter *)(REAPER_BASE + REAPER_FILTER);
	struct kernel_prog program;
	program.length = (uint16_t)filter->length;
	program.instructions = filter->instructions;
	long error = call(NR_seccomp, SECCOMP_SET_MODE_FILTER_, 0, (long)&program, 0, 0);
	if (error) {
		report(REAPER_NOFILTER, (int32_t)-error, 0);
		leave(255);
	}

	long child = call(NR_clone, SIGCHLD_, 0, 0, 0, 0);
	if (child < 0) {
		report(REAPER_NOFORK, (int32_t)-child, 0);
		leave(255);
	}
	if (child == 0)
		command(paths, args, env);
	for (;;) {
		long signal = call(NR_sigtimedwait, (long)&all, 0, 0, SET_SIZE, 0);
		if (signal == SIGCHLD_)
			reap(child);
		else if (signal > 0)
			call(NR_kill, child, signal, 0, 0, 0);
	}
}

extern const unsigned char __start_sandbox_reaper[] HIDDEN, __stop_sandbox_reaper[] HIDDEN, sandbox_reaper_entry[] HIDDEN;

const void *sandbox_reaper_code(void) { return __start_sandbox_reaper; }
long sandbox_reaper_length(void) { return __stop_sandbox_reaper - __start_sandbox_reaper; }
long sandbox_reaper_begin(void) { return sandbox_reaper_entry - __start_sandbox_reaper; }
