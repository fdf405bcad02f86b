/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Both in dps-tag(8).  A full check of an image takes a second and some ten MiB; bombs take more.
 */
#define CPU_SECONDS_AN_IMAGE 60
#define MEMORY_MAX ((rlim_t)1 << 30)

/* What is shown of thousands of images is below this; more is a bomb. */
#define OUTPUT_MAX ((gsize)256 * 1024 * 1024)

#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

/* Source: include/uapi/linux/audit.h; a filter is for one architecture's numbers. */
#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__i386__)
#define OUR_ARCH AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif defined(__arm__)
#define OUR_ARCH AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define OUR_ARCH AUDIT_ARCH_RISCV64
#elif defined(__s390x__)
#define OUR_ARCH AUDIT_ARCH_S390X
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OUR_ARCH AUDIT_ARCH_PPC64LE
#endif

typedef int AutoFd;

static void
close_fd(AutoFd *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AutoFd, close_fd)

gboolean
sandbox_is_for(const Options *options)
{
	if (!options->command || !(options->command->id & (COMMAND_CHECK | COMMAND_SHOW)) ||
	    options->help || options->version || options->root || options->n_arguments == 0)
		return FALSE;

	/* The partitions of a device are read through nodes of their own, which come and go. */
	for (guint i = 0; i < options->n_arguments; i++) {
		struct stat st;

		if (stat(options->arguments[i], &st) < 0 || !S_ISREG(st.st_mode))
			return FALSE;
	}
	return TRUE;
}

/* --- Landlock: files ----------------------------------------------------------------------------
 */

#define READ_FILES LANDLOCK_ACCESS_FS_READ_FILE
#define READ_DIRS LANDLOCK_ACCESS_FS_READ_DIR

/* All that can be done to files, by the version of the interface.  Source: landlock(7). */
static uint64_t
get_all_rights(long version)
{
	uint64_t rights = (1ULL << 13) - 1; /* EXECUTE to MAKE_SYM */

	if (version >= 2)
		rights |= 1ULL << 13; /* REFER */
	if (version >= 3)
		rights |= 1ULL << 14; /* TRUNCATE */
	if (version >= 5)
		rights |= 1ULL << 15; /* IOCTL_DEV */
	return rights;
}

static void
allow(int ruleset, const char *path, uint64_t rights)
{
	g_auto(AutoFd) fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = { .allowed_access = rights, .parent_fd = fd };

	/* What is not there needs no rule. */
	if (fd >= 0)
		syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static void
restrict_files(const Options *options)
{
	/* Character sets and locales, which the C library loads when they are asked for; and what
	 * hash tables are seeded with. */
	static const char *const libraries[] = { "/usr", "/lib", "/lib64", "/dev/urandom" };
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	/* Of the first version, so that older kernels take it. */
	uint64_t handled[1] = { get_all_rights(version) };
	g_auto(AutoFd) ruleset = -1;

	if (version < 1)
		return;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, handled, sizeof(handled), 0);
	if (ruleset < 0)
		return;

	for (guint i = 0; i < G_N_ELEMENTS(libraries); i++)
		allow(ruleset, libraries[i],
		      g_str_has_prefix(libraries[i], "/dev/") ? READ_FILES
							      : READ_FILES | READ_DIRS);
	for (guint i = 0; i < options->n_arguments; i++) {
		char *image = realpath(options->arguments[i], NULL); /* the C library's */
		g_autofree char *directory = NULL;

		if (!image)
			continue;
		directory = g_path_get_dirname(image);
		allow(ruleset, image, READ_FILES);
		/* Whether a journal is beside the image; what it holds is not looked at. */
		allow(ruleset, directory, READ_DIRS);
		free(image);
	}
	syscall(SYS_landlock_restrict_self, ruleset, 0);
}

/* --- seccomp: system calls ----------------------------------------------------------------------
 */

#ifdef OUR_ARCH

/* What reading files, memory and time takes, and threads.  Some architectures lack the old ones. */
static const int calls[] = {
	__NR_read,
	__NR_readv,
	__NR_pread64,
	__NR_preadv,
	__NR_write,
	__NR_writev,
	__NR_close,
	__NR_fstat,
	__NR_statx,
	__NR_lseek,
	__NR_openat2,
	__NR_readlinkat,
	__NR_faccessat,
	__NR_faccessat2,
	__NR_getdents64,
	__NR_fcntl,
	__NR_dup,
	__NR_dup3,
	__NR_statfs,
	__NR_fstatfs,
	__NR_getcwd,
	__NR_mmap,
	__NR_munmap,
	__NR_mprotect,
	__NR_mremap,
	__NR_madvise,
	__NR_brk,
	__NR_rt_sigaction,
	__NR_rt_sigprocmask,
	__NR_rt_sigreturn,
	__NR_sigaltstack,
	__NR_restart_syscall,
	__NR_futex,
	__NR_set_robust_list,
	__NR_sched_yield,
	__NR_sched_getaffinity,
	__NR_getpid,
	__NR_gettid,
	__NR_getuid,
	__NR_geteuid,
	__NR_getgid,
	__NR_getegid,
	__NR_clock_gettime,
	__NR_clock_getres,
	__NR_clock_nanosleep,
	__NR_nanosleep,
	__NR_gettimeofday,
	__NR_getrandom,
	__NR_getrusage,
	__NR_sysinfo,
	__NR_uname,
	__NR_ppoll,
	__NR_exit,
	__NR_exit_group,
#ifdef __NR_newfstatat
	__NR_newfstatat,
#endif
#ifdef __NR_fstatat64
	__NR_fstatat64,
#endif
#ifdef __NR_stat
	__NR_stat,
	__NR_lstat,
#endif
#ifdef __NR_stat64
	__NR_stat64,
	__NR_lstat64,
	__NR_fstat64,
#endif
#ifdef __NR__llseek
	__NR__llseek,
#endif
#ifdef __NR_fcntl64
	__NR_fcntl64,
#endif
#ifdef __NR_mmap2
	__NR_mmap2,
#endif
#ifdef __NR_readlink
	__NR_readlink,
#endif
#ifdef __NR_access
	__NR_access,
#endif
#ifdef __NR_dup2
	__NR_dup2,
#endif
#ifdef __NR_poll
	__NR_poll,
#endif
#ifdef __NR_fadvise64
	__NR_fadvise64,
#endif
#ifdef __NR_fadvise64_64
	__NR_fadvise64_64,
#endif
#ifdef __NR_getrlimit
	__NR_getrlimit,
#endif
#ifdef __NR_rseq
	__NR_rseq,
#endif
#ifdef __NR_clock_gettime64
	__NR_clock_gettime64,
	__NR_futex_time64,
	__NR_clock_nanosleep_time64,
#endif
#if HAS_SANITIZER
	__NR_prlimit64,
	__NR_prctl,
	__NR_personality,
#endif
};

static void
add(GArray *program, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	struct sock_filter line = { code, jt, jf, k };

	g_array_append_val(program, line);
}

static void
load(GArray *program, size_t offset)
{
	add(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void
finish(GArray *program, uint32_t action)
{
	add(program, BPF_RET | BPF_K, action, 0, 0);
}

/* The low 32 bits of an argument: where they are depends on the order of bytes. */
static size_t
argument(guint n)
{
	return offsetof(struct seccomp_data, args) + (size_t)8 * n +
	       (G_BYTE_ORDER == G_BIG_ENDIAN ? 4 : 0);
}

/* When the call is @number: allowed when its argument has all of @set and nothing of @clear. */
static void
allow_with_flags(GArray *program, uint32_t number, guint n, uint32_t set, uint32_t clear)
{
	load(program, offsetof(struct seccomp_data, nr));
	add(program, BPF_JMP | BPF_JEQ | BPF_K, number, 0, 6);
	load(program, argument(n));
	add(program, BPF_ALU | BPF_AND | BPF_K, set | clear, 0, 0);
	add(program, BPF_JMP | BPF_JEQ | BPF_K, set, 1, 0);
	finish(program, SECCOMP_RET_ERRNO | EPERM);
	finish(program, SECCOMP_RET_ALLOW);
	load(program, offsetof(struct seccomp_data, nr));
}

static void
restrict_calls(void)
{
	const uint32_t writing = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;
	g_autoptr(GArray) program = g_array_new(FALSE, FALSE, sizeof(struct sock_filter));
	struct sock_fprog filter;

	load(program, offsetof(struct seccomp_data, arch));
	add(program, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0);
	finish(program, SECCOMP_RET_KILL_PROCESS);
	load(program, offsetof(struct seccomp_data, nr));

	for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
		add(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], 0, 1);
		finish(program, SECCOMP_RET_ALLOW);
	}
	allow_with_flags(program, __NR_openat, 2, 0, writing);
#ifdef __NR_open
	allow_with_flags(program, __NR_open, 1, 0, writing);
#endif
	/* Threads, not processes.  What clone3 is asked for cannot be seen: the C library knows
	 * that older kernels have none of it. */
#ifndef __s390x__
	allow_with_flags(program, __NR_clone, 0, CLONE_VM | CLONE_THREAD, 0);
#else
	allow_with_flags(program, __NR_clone, 1, CLONE_VM | CLONE_THREAD, 0);
#endif
#ifdef __NR_clone3
	add(program, BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 0, 1);
	finish(program, SECCOMP_RET_ERRNO | ENOSYS);
#endif
	/* A thread may stop itself: g_error(), abort(). */
	add(program, BPF_JMP | BPF_JEQ | BPF_K, __NR_tgkill, 0, 4);
	load(program, argument(0));
	add(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)getpid(), 0, 1);
	finish(program, SECCOMP_RET_ALLOW);
	load(program, offsetof(struct seccomp_data, nr));
	finish(program, SECCOMP_RET_ERRNO | EPERM);

	filter = (struct sock_fprog){ (unsigned short)program->len,
				      (struct sock_filter *)(void *)program->data };
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

#else

static void
restrict_calls(void)
{
}

#endif

/* --- The process --------------------------------------------------------------------------------
 */

static void
restrict_resources(const Options *options)
{
	rlim_t seconds = CPU_SECONDS_AN_IMAGE * (rlim_t)options->n_arguments;
	struct rlimit time = { seconds, seconds + 1 }, memory = { MEMORY_MAX, MEMORY_MAX };
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CPU, &time);
	setrlimit(RLIMIT_CORE, &none);
	/* A sanitizer maps terabytes, and uses little of it. */
	if (!HAS_SANITIZER)
		setrlimit(RLIMIT_DATA, &memory);
}

G_GNUC_NORETURN static void
be_the_reader(const Options *options, Screen *screen, SandboxFunc function, int out)
{
	Options quietly = *options;

	/* The pager is the other's. */
	quietly.no_pager = TRUE;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(STATUS_FAILED);
	close(out);
	restrict_files(options);
	restrict_resources(options);
	restrict_calls();
	_exit(function(&quietly, screen));
}

/* All that comes out of @fd.  Returns: whether it was not too much */
static gboolean
gather(int fd, GString *text)
{
	char buffer[65536];
	ssize_t n;

	while ((n = TEMP_FAILURE_RETRY(read(fd, buffer, sizeof(buffer)))) > 0) {
		g_string_append_len(text, buffer, n);
		if (text->len > OUTPUT_MAX)
			return FALSE;
	}
	return TRUE;
}

static gboolean
throw_ended(const Options *options, int signal, GError **error)
{
	const char *what = options->n_arguments == 1 ? options->arguments[0] : "the images";

	if (signal == SIGXCPU || signal == SIGKILL)
		g_set_error(error, DPS_ERROR, DPS_ERROR_CORRUPT,
			    "%s: reading took more than %d seconds of a processor each: made to do "
			    "harm, or broken: do not use it",
			    what, CPU_SECONDS_AN_IMAGE);
	else
		g_set_error(error, DPS_ERROR, DPS_ERROR_CORRUPT,
			    "%s: reading was stopped by signal %d (%s): made to do harm, or larger "
			    "than 1 GiB of memory: please report it",
			    what, signal, g_strsignal(signal));
	return FALSE;
}

gboolean
sandbox_run(const Options *options, Screen *screen, SandboxFunc function, int *status,
	    GError **error)
{
	g_auto(AutoFd) in = -1;
	g_auto(AutoFd) out = -1;
	gboolean is_small;
	int fds[2], end;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		g_set_error(error, DPS_ERROR, DPS_ERROR_IO, "pipe: %s", g_strerror(errno));
		return FALSE;
	}
	in = fds[0];
	out = fds[1];

	pid = fork();
	if (pid < 0) {
		g_set_error(error, DPS_ERROR, DPS_ERROR_IO, "fork: %s", g_strerror(errno));
		return FALSE;
	}
	if (pid == 0)
		be_the_reader(options, screen, function, out);
	close_fd(&out);

	is_small = gather(in, screen->text);
	if (!is_small)
		kill(pid, SIGKILL);
	if (TEMP_FAILURE_RETRY(waitpid(pid, &end, 0)) < 0) {
		g_set_error(error, DPS_ERROR, DPS_ERROR_IO, "wait: %s", g_strerror(errno));
		return FALSE;
	}
	if (is_small && WIFEXITED(end)) {
		*status = WEXITSTATUS(end);
		return TRUE;
	}

	g_string_truncate(screen->text, 0);
	if (!is_small) {
		g_set_error(error, DPS_ERROR, DPS_ERROR_CORRUPT,
			    "%s: more to show than anybody reads", options->arguments[0]);
		return FALSE;
	}
	return throw_ended(options, WTERMSIG(end), error);
}
