/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded into dps-tag: makes the reader of one disk do what a reader would that a disk has taken
 * over, or that has a fault.
 *
 *	DPS_MISBEHAVE=HOW:N:TEXT	at the N-th read of a file with TEXT in its path
 */
#undef _FILE_OFFSET_BITS /* both names of the call are defined here */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* POSIX gives dlsym(3) functions too; ISO C does not know of it. */
#define REAL(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

static void
crash(void)
{
	volatile int *volatile nowhere = NULL;

	*nowhere = 1;
}

/* The compiler cannot know that this has no end. */
static int
recurse(volatile int *depth)
{
	volatile int mine[1024];

	mine[*depth & 1023] = *depth;
	(*depth)++;
	return *depth < INT_MAX ? recurse(depth) + mine[0] : 0;
}

static void
overflow(void)
{
	volatile int depth = 0;

	recurse(&depth);
}

__attribute__((noreturn)) static void
spin(void)
{
	for (volatile unsigned int i = 0;; i++)
		;
}

/* As the library allocates, which gives up when there is no more. */
__attribute__((noreturn)) static void
eat(void)
{
	void *(*allocate)(size_t) =
		__extension__(void *(*)(size_t)) dlsym(RTLD_DEFAULT, "g_malloc");

	for (;;)
		memset(allocate(1 << 20), 1, 1 << 20);
}

__attribute__((noreturn)) static void
hang(void)
{
	for (;;)
		sleep(1000);
}

static void
nap(void)
{
	sleep(2);
}

/* Compilers see these two as well. */
static void *(*volatile get_block)(size_t) = malloc;

/* A block that nobody has any more. */
static void
lose(void)
{
	void *volatile block = get_block(1000);

	block = NULL;
	(void)block;
}

static void
hang_up(void)
{
	close(STDOUT_FILENO);
	hang();
}

__attribute__((noreturn)) static void
leave(void)
{
	_exit(0);
}

static void
say(const void *bytes, size_t size)
{
	if (write(STDOUT_FILENO, bytes, size) != (ssize_t)size)
		_exit(0);
}

__attribute__((noreturn)) static void
garble(void)
{
	for (int i = 0; i < 100; i++)
		say("\001\0\0\0\0\0\0\0\033]0;mine\a\377\376", 20);
	_exit(0);
}

__attribute__((noreturn)) static void
flood(void)
{
	static const char zeros[65536];

	for (;;)
		say(zeros, sizeof(zeros));
}

/* A message as it should be, which says what a terminal would obey.  See cli/message.c. */
__attribute__((noreturn)) static void
paint(void)
{
	static const char words[] = "\033]0;mine\a\033[2J\xe2\x80\xae";
	const uint64_t head[] = { 0, 4, 0, sizeof(words) };

	say(head, sizeof(head));
	say(words, sizeof(words) - 1);
	_exit(0);
}

/* Where the tests look for it. */
static void
tell(const char *words)
{
	if (write(STDERR_FILENO, words, strlen(words)) < 0)
		_exit(0);
}

/* A byte that nobody has set. */
static void
use(void)
{
	char *block = get_block(1000);

	if (block && block[500] == 'x')
		tell("by chance");
	free(block);
}

/* Who reads may not ask for it: it is known before. */
static pid_t caller;

__attribute__((constructor)) static void
learn_caller(void)
{
	caller = getpid();
}

/* Past the pipe: at what the caller reads, shows and writes. */
__attribute__((noreturn)) static void
reach(void)
{
	char byte;

	for (int fd = STDERR_FILENO + 1; fd < 64; fd++)
		if (write(fd, "REACHED\n", 8) == 8)
			tell("REACHED");
	if (read(STDIN_FILENO, &byte, 1) > 0)
		tell("REACHED");
	if (open("/etc/passwd", O_RDONLY) >= 0 ||
	    open("/tmp/reached", O_WRONLY | O_CREAT, 0600) >= 0 || kill(caller, 0) == 0 ||
	    fork() >= 0)
		tell("REACHED");
	_exit(0);
}

/* Everything that one of the two confinements, or both, should keep from it; and says what was
 * possible, in one line.  There is a file beside the image, with ".beside" behind its name. */
static char image[PATH_MAX];

__attribute__((noreturn)) static void
attempt(void)
{
	enum { IMAGE, BESIDE, NEW, ELSEWHERE };
	static const struct {
		const char *name;
		int of, flags;
	} opens[] = {
		{ "read-beside", BESIDE, O_RDONLY },
		{ "read-elsewhere", ELSEWHERE, O_RDONLY },
		{ "write", IMAGE, O_WRONLY },
		{ "read-write", IMAGE, O_RDWR },
		{ "append", IMAGE, O_RDONLY | O_APPEND },
		{ "create", NEW, O_RDONLY | O_CREAT },
		{ "truncate", BESIDE, O_RDONLY | O_TRUNC },
	};
	char words[512] = "possible:";
	char path[PATH_MAX + 16];
	pid_t child;

	for (size_t i = 0; i < sizeof(opens) / sizeof(*opens); i++) {
		snprintf(path, sizeof(path), "%s%s",
			 opens[i].of == ELSEWHERE ? "/etc/passwd" : image,
			 opens[i].of == BESIDE ? ".beside"
			 : opens[i].of == NEW  ? ".new"
					       : "");
		if (open(path, opens[i].flags | O_CLOEXEC, 0600) >= 0) {
			strcat(words, " ");
			strcat(words, opens[i].name);
		}
	}
	if (read(STDIN_FILENO, path, 1) > 0)
		strcat(words, " input");
	snprintf(path, sizeof(path), "%s.beside", image);
	if (unlink(path) == 0)
		strcat(words, " unlink");
	if (kill(caller, 0) == 0)
		strcat(words, " kill");
	if (syscall(SYS_tgkill, caller, caller, 0) == 0)
		strcat(words, " thread-kill");
	if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
		strcat(words, " socket");
	child = fork();
	if (child == 0)
		_exit(0);
	if (child > 0)
		strcat(words, " fork");
	tell(words);
	_exit(0);
}

/* By the numbers of another architecture, which a filter for ours says nothing of: getpid of i386.
 */
__attribute__((noreturn)) static void
disguise(void)
{
#ifdef __x86_64__
	long number = 20;

	__asm__ volatile("int $0x80" : "+a"(number) : : "memory", "r8", "r9", "r10", "r11");
	if (number > 0)
		tell("REACHED");
#endif
	_exit(0);
}

static const struct {
	const char *name;
	void (*act)(void);
} ways[] = {
	{ "crash", crash },	{ "overflow", overflow }, { "abort", abort },
	{ "spin", spin },	{ "eat", eat },		  { "hang", hang },
	{ "nap", nap },		{ "hang-up", hang_up },	  { "leave", leave },
	{ "garble", garble },	{ "flood", flood },	  { "paint", paint },
	{ "reach", reach },	{ "lose", lose },	  { "use", use },
	{ "attempt", attempt }, { "disguise", disguise },
};

static void
look(int fd)
{
	static unsigned int n;
	const char *what = getenv("DPS_MISBEHAVE");
	char how[16], text[256], name[64], path[PATH_MAX];
	unsigned int nth;
	ssize_t size;

	if (!what || sscanf(what, "%15[^:]:%u:%255s", how, &nth, text) != 3)
		return;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	size = readlink(name, path, sizeof(path) - 1);
	path[size < 0 ? 0 : size] = '\0';
	if (!strstr(path, text) || ++n != nth)
		return;
	memcpy(image, path, sizeof(image));
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (strcmp(ways[i].name, how) == 0)
			ways[i].act();
}

ssize_t
pread(int fd, void *buffer, size_t size, off_t offset)
{
	look(fd);
	return REAL(pread)(fd, buffer, size, offset);
}

ssize_t
pread64(int fd, void *buffer, size_t size, off64_t offset)
{
	look(fd);
	return REAL(pread64)(fd, buffer, size, offset);
}
