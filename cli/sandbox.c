/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A filter is for one architecture's numbers.  Source: include/uapi/linux/audit.h, and
 * Documentation/features/seccomp/seccomp-filter: the others cannot filter. */
#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64 /* also x32's, whose numbers are others: none is allowed */
#elif defined(__i386__)
#define OUR_ARCH AUDIT_ARCH_I386
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif defined(__arm__) && defined(__ARMEL__)
#define OUR_ARCH AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define OUR_ARCH AUDIT_ARCH_RISCV64
#elif defined(__riscv) && __riscv_xlen == 32
#define OUR_ARCH AUDIT_ARCH_RISCV32
#elif defined(__s390x__)
#define OUR_ARCH AUDIT_ARCH_S390X
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OUR_ARCH AUDIT_ARCH_PPC64LE
#elif defined(__powerpc64__)
#define OUR_ARCH AUDIT_ARCH_PPC64
#elif defined(__loongarch64) && defined(AUDIT_ARCH_LOONGARCH64) /* headers of Linux 5.19 */
#define OUR_ARCH AUDIT_ARCH_LOONGARCH64
#elif defined(__mips__) && defined(__MIPSEL__) && _MIPS_SIM == _ABI64
#define OUR_ARCH AUDIT_ARCH_MIPSEL64
#elif defined(__mips__) && defined(__MIPSEL__) && _MIPS_SIM == _ABIO32
#define OUR_ARCH AUDIT_ARCH_MIPSEL
#elif defined(__hppa__) && !defined(__LP64__)
#define OUR_ARCH AUDIT_ARCH_PARISC
#endif

/* Without: for tests of those that have none. */
#if defined(OUR_ARCH) && !defined(SANDBOX_HAS_NO_FILTER)
#define HAS_FILTER 1
#else
#define HAS_FILTER 0
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

static long
get_landlock_version(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static void
restrict_files(const char *path)
{
	/* Character sets and locales, which the C library loads when they are asked for; and what
	 * hash tables are seeded with. */
	static const char *const libraries[] = {
		"/usr",
		"/lib",
		"/lib64",
		"/dev/urandom",
#if SANDBOX_HAS_SANITIZER
		"/proc",
#endif
	};
	long version = get_landlock_version();
	/* Of the first version, so that older kernels take it. */
	uint64_t handled[1] = { get_all_rights(version) };
	g_auto(AutoFd) ruleset = -1;
	g_autofree char *directory = NULL;
	char *image; /* the C library's */

	if (version < 1)
		return;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, handled, sizeof(handled), 0);
	if (ruleset < 0)
		return;

	for (guint i = 0; i < G_N_ELEMENTS(libraries); i++)
		allow(ruleset, libraries[i],
		      g_str_has_prefix(libraries[i], "/dev/") ? READ_FILES
							      : READ_FILES | READ_DIRS);
	image = realpath(path, NULL);
	if (image) {
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

#if HAS_FILTER

/* What reading files, memory and time takes.  Some architectures lack the old ones. */
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
#if SANDBOX_HAS_SANITIZER
	__NR_prlimit64,
	__NR_prctl,
	__NR_personality,
	/* Leaks are looked for by a process that stops this one. */
	__NR_clone,
	__NR_ptrace,
	__NR_wait4,
	__NR_getppid,
	__NR_kill,
#ifdef __NR_getdents
	__NR_getdents,
#endif
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
	/* It may end itself: g_error(), abort(). */
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

/* --- Limits -------------------------------------------------------------------------------------
 */

/* Whoever started us may have set a lower one, which stays. */
guint
sandbox_get_cpu_seconds(void)
{
	struct rlimit now;

	return getrlimit(RLIMIT_CPU, &now) == 0 && now.rlim_cur < SANDBOX_CPU_SECONDS
		       ? (guint)now.rlim_cur
		       : SANDBOX_CPU_SECONDS;
}

guint
sandbox_get_memory_mib(void)
{
	struct rlimit now;

	return getrlimit(RLIMIT_DATA, &now) == 0 && now.rlim_cur >> 20 < SANDBOX_MEMORY_MIB
		       ? (guint)(now.rlim_cur >> 20)
		       : SANDBOX_MEMORY_MIB;
}

static void
restrict_resources(void)
{
	rlim_t seconds = sandbox_get_cpu_seconds();
	rlim_t bytes = (rlim_t)sandbox_get_memory_mib() << 20;
	struct rlimit time = { seconds, seconds + 1 }, memory = { bytes, bytes };
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CPU, &time);
	setrlimit(RLIMIT_CORE, &none);
	setrlimit(RLIMIT_FSIZE, &none);
	/* A sanitizer maps terabytes, and uses little of it. */
	if (!SANDBOX_HAS_SANITIZER)
		setrlimit(RLIMIT_DATA, &memory);
}

/* --- All of it ----------------------------------------------------------------------------------
 */

gboolean
sandbox_enter(const char *path)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return FALSE;

	restrict_files(path);
	restrict_resources();
	restrict_calls();
	return TRUE;
}

gboolean
sandbox_close_from(int first)
{
	struct rlimit files;

	if (syscall(SYS_close_range, (unsigned int)first, ~0U, 0) == 0)
		return TRUE;

	/* Before Linux 5.9. */
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return FALSE;
	for (rlim_t fd = (rlim_t)first; fd < MIN(files.rlim_cur, 65536); fd++)
		close((int)fd);
	return TRUE;
}

char *
sandbox_describe_missing(void)
{
	GString *text = g_string_new(NULL);

	if (get_landlock_version() < 1)
		g_string_append(text, "Landlock");
	/* With a filter in place it would read it: this one is nowhere. */
	if (!HAS_FILTER || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) == 0 || errno != EFAULT)
		g_string_append_printf(text, "%sseccomp", text->len > 0 ? " and " : "");

	return g_string_free(text, text->len == 0);
}
