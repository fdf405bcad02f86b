/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "readers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "json.h"
#include "message.h"
#include "progress.h"
#include "sandbox.h"

#if SANDBOX_HAS_SANITIZER
void __lsan_do_leak_check(void); /* <sanitizer/lsan_interface.h> */
#endif

/* Of all disks of a run together: what a thousand sound images say is two MiB. */
#define MESSAGES_MAX ((gsize)256 * 1024 * 1024)

/* What libraries write as they give up. */
#define LAST_WORDS_MAX 4096

#define SECOND ((gint64)G_USEC_PER_SEC)

/* The signals by which people and service managers end a program. */
static const int ending_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

/* A process that reads a disk. */
typedef struct {
	Reading *reading;
	pid_t pid; /* 0: there is none */
	int answer, last_words;
	gint64 ends; /* when it has had its time, by our clock */
	GByteArray *bytes;
} Reader;

typedef struct {
	const Options *options;
	ReadersFunc read;
	gpointer data;
	Reader *readers;
	guint n_readers;
	struct pollfd *fds; /* of the readers, and that of signals behind them */
	int signals;
	sigset_t mask; /* as it was */
	gsize room;    /* for messages */
	gint64 clock;  /* stands still while we are stopped: ^Z costs a reader nothing */
	Progress progress;
	guint n_done, n_failed;
} Run;

void
reading_clear(Reading *self)
{
	g_clear_pointer(&self->facts, facts_free);
	g_clear_pointer(&self->failure, failure_free);
}

int
reading_tell(const Reading *self, const Options *options, Screen *screen, GError **error)
{
	/* Here, for an error of the library alone knows which partition it is about. */
	if (options->json) {
		g_autofree char *document = json_failure(self->failure);

		screen->has_document = TRUE;
		if (!screen_write_document(screen, document, error))
			return -1;
	}
	g_set_error_literal(error, DPS_ERROR, self->failure->code, self->failure->message);
	return -1;
}

static void fail_reading(Reading *reading, int code, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void
fail_reading(Reading *reading, int code, const char *format, ...)
{
	g_autofree char *what = NULL;
	va_list args;

	va_start(args, format);
	what = g_strdup_vprintf(format, args);
	va_end(args);

	reading->failure = g_new0(Failure, 1);
	reading->failure->code = code;
	reading->failure->message = g_strdup_printf("%s: %s", reading->path, what);
}

/* --- The reader's side ------------------------------------------------------------------------ */

static void
write_answer(GBytes *bytes)
{
	gsize left;
	const char *at = g_bytes_get_data(bytes, &left);

	while (left > 0) {
		ssize_t n = TEMP_FAILURE_RETRY(write(STDOUT_FILENO, at, left));

		if (n < 0)
			_exit(STATUS_FAILED);
		at += n;
		left -= (gsize)n;
	}
}

/* Its standard output is the pipe, and it has no other way out: what a caller's terminal, input or
 * other descriptors are is none of its business. */
static gboolean
take_places(int answer, int last_words)
{
	int nothing[2]; /* /dev may be empty where images are built */

	if (pipe2(nothing, O_CLOEXEC) < 0)
		return FALSE;
	/* A sanitizer's report is longer than last words are. */
	return dup2(nothing[0], STDIN_FILENO) >= 0 && dup2(answer, STDOUT_FILENO) >= 0 &&
	       (SANDBOX_HAS_SANITIZER || dup2(last_words, STDERR_FILENO) >= 0) &&
	       sandbox_close_from(STDERR_FILENO + 1);
}

static void
read_and_answer(const Run *run, const Reader *self)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Facts) facts = NULL;
	g_autoptr(Failure) failure = NULL;
	g_autoptr(GBytes) bytes = NULL;

	if (self->reading->is_confined && !sandbox_enter(self->reading->path))
		g_set_error(&error, DPS_ERROR, DPS_ERROR_PERMISSION,
			    "%s: its reader cannot be confined: %s", self->reading->path,
			    g_strerror(errno));
	else
		facts = run->read(run->options, self->reading->path, run->data, &error);
	if (!facts)
		failure = failure_new(error);
	bytes = message_write(facts, failure);
#if SANDBOX_HAS_SANITIZER
	__lsan_do_leak_check(); /* which _exit() does not; who leaks dies without an answer */
#endif
	write_answer(bytes);
}

G_GNUC_NORETURN static void
be_the_reader(const Run *run, const Reader *self, pid_t parent, int answer, int last_words)
{
	/* Who asked may be gone before that was said. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent ||
	    !take_places(answer, last_words))
		_exit(STATUS_FAILED);

	read_and_answer(run, self);
	_exit(STATUS_OK);
}

/* --- The other side --------------------------------------------------------------------------- */

/* The partitions of a device are read through nodes of their own, which come and go; and a tree, or
 * the directory of an ESP, is its caller's. */
static gboolean
may_be_confined(const Options *options, const char *path)
{
	struct stat st;

	return !options->root && !options->esp && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static void
start(Run *run, Reader *self, Reading *reading)
{
	int answer[2], last_words[2];
	pid_t parent = getpid();

	*self = (Reader){ .reading = reading };
	reading->is_confined = may_be_confined(run->options, reading->path);
	if (pipe2(answer, O_CLOEXEC) < 0) {
		fail_reading(reading, DPS_ERROR_IO, "pipe: %s", g_strerror(errno));
		return;
	}
	/* Who writes more than fits is not waited for. */
	if (pipe2(last_words, O_CLOEXEC | O_NONBLOCK) < 0) {
		fail_reading(reading, DPS_ERROR_IO, "pipe: %s", g_strerror(errno));
		close(answer[0]);
		close(answer[1]);
		return;
	}

	self->pid = fork();
	if (self->pid == 0)
		be_the_reader(run, self, parent, answer[1], last_words[1]);
	close(answer[1]);
	close(last_words[1]);
	if (self->pid < 0) {
		fail_reading(reading, DPS_ERROR_IO, "fork: %s", g_strerror(errno));
		close(answer[0]);
		close(last_words[0]);
		self->pid = 0;
		return;
	}
	self->answer = answer[0];
	self->last_words = last_words[0];
	self->ends = run->clock + SANDBOX_SECONDS * SECOND;
	self->bytes = g_byte_array_new();
}

/* The last line that its libraries wrote: "GLib-ERROR: failed to allocate 4294967296 bytes".  NULL:
 * they wrote none. */
static char *
read_last_words(const Reader *self)
{
	char buffer[LAST_WORDS_MAX + 1];
	ssize_t n = TEMP_FAILURE_RETRY(read(self->last_words, buffer, LAST_WORDS_MAX));
	const char *line;

	if (n <= 0)
		return NULL;
	buffer[n] = '\0';
	g_strchomp(buffer);
	line = strrchr(buffer, '\n');
	line = line ? line + 1 : buffer;
	return *line ? g_strdup(line) : NULL;
}

/* It ended, and what it said, of @size bytes, is no answer. */
static void
tell_end(const Reader *self, gsize size, int status, const struct rusage *usage)
{
	gint64 seconds = usage->ru_utime.tv_sec + usage->ru_stime.tv_sec;
	g_autofree char *words = read_last_words(self);
	int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	const char *and = words ? ": " : "";

	/* Who does not heed the first is killed, a second later. */
	if (signal == SIGXCPU || (self->reading->is_confined && signal == SIGKILL &&
				  seconds >= (gint64)sandbox_get_cpu_seconds()))
		fail_reading(self->reading, DPS_ERROR_CORRUPT,
			     "reading it took more than %u seconds of a processor: it is broken, "
			     "or made to do harm: do not use it",
			     sandbox_get_cpu_seconds());
	else if (self->reading->is_confined && words && strstr(words, "failed to allocate"))
		fail_reading(self->reading, DPS_ERROR_CORRUPT,
			     "reading it took more than %u MiB of memory: it is broken, or made to "
			     "do harm: do not use it",
			     sandbox_get_memory_mib());
	else if (size == 0 && WIFEXITED(status) && WEXITSTATUS(status) == STATUS_FAILED)
		fail_reading(self->reading, DPS_ERROR_IO,
			     "its reader could not begin: are there too many open files? try "
			     "again, with --jobs=1");
	else if (signal == SIGKILL)
		fail_reading(self->reading, DPS_ERROR_IO,
			     "its reader was killed, by somebody or for want of memory: try again, "
			     "with --jobs=1");
	else if (signal != 0)
		fail_reading(self->reading, DPS_ERROR_CORRUPT,
			     "its reader was ended by signal %d (%s%s%s): it is broken, or made to "
			     "do harm: do not use it, and please report it to the makers of "
			     "dps-tag",
			     signal, g_strsignal(signal), and, words ? words : "");
	else
		fail_reading(self->reading, DPS_ERROR_CORRUPT,
			     "its reader gave no answer that makes sense%s%s: it is made to do "
			     "harm: do not use it, and please report it to the makers of dps-tag",
			     and, words ? words : "");
}

/* Ends it for good: whoever closed the pipe and still runs has nothing more to say. */
static int
reap(Reader *self, struct rusage *usage)
{
	int status = 0;

	kill(self->pid, SIGKILL);
	TEMP_FAILURE_RETRY(wait4(self->pid, &status, 0, usage));
	self->pid = 0;
	return status;
}

static void
release(Reader *self)
{
	close(self->answer);
	close(self->last_words);
	g_clear_pointer(&self->bytes, g_byte_array_unref);
}

static void
finish(Run *run, Reader *self)
{
	struct rusage usage = { 0 };
	int status = reap(self, &usage);
	Reading *reading = self->reading;

	if (!reading->failure) {
		g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(g_steal_pointer(&self->bytes));

		gsize size = g_bytes_get_size(bytes);

		run->room -= size;
		if (!message_read(bytes, reading->path, &reading->facts, &reading->failure))
			tell_end(self, size, status, &usage);
	}
	release(self);
}

/* Takes what it says now.  What it is to be failed for is in its reading. */
static void
listen_to(Run *run, Reader *self)
{
	guint8 buffer[65536];
	ssize_t n = TEMP_FAILURE_RETRY(read(self->answer, buffer, sizeof(buffer)));

	if (n > 0 && self->bytes->len + (gsize)n <= MIN(run->room, MESSAGE_MAX)) {
		g_byte_array_append(self->bytes, buffer, (guint)n);
		return;
	}
	if (n > 0)
		fail_reading(self->reading, DPS_ERROR_CORRUPT,
			     "more to show than anybody reads: it is made to do harm: do not use "
			     "it");
	finish(run, self);
}

static void
look_at_clock(Run *run, Reader *self)
{
	if (!self->reading->is_confined || run->clock < self->ends)
		return;

	fail_reading(self->reading, DPS_ERROR_IO,
		     "its reader gave no answer for %d minutes: is what it lies on slow, or gone? "
		     "copy the image elsewhere and try again",
		     SANDBOX_SECONDS / 60);
	finish(run, self);
}

/* One of the signals came: the readers go first, then the line on the terminal, then we. */
G_GNUC_NORETURN static void
end_by_signal(Run *run, int signal)
{
	struct rusage usage;
	sigset_t one;

	for (guint i = 0; i < run->n_readers; i++)
		if (run->readers[i].pid > 0)
			kill(run->readers[i].pid, SIGKILL);
	for (guint i = 0; i < run->n_readers; i++)
		if (run->readers[i].pid > 0)
			reap(&run->readers[i], &usage);
	progress_end(&run->progress);

	/* As if it had never been held back: who started us sees by what we ended. */
	(void)raise(signal);
	sigemptyset(&one);
	sigaddset(&one, signal);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	_exit(128 + signal);
}

static void
hold_signals(Run *run)
{
	sigset_t ending;

	sigemptyset(&ending);
	for (guint i = 0; i < G_N_ELEMENTS(ending_signals); i++) {
		struct sigaction action;

		/* One that is ignored (nohup) stays so. */
		if (sigaction(ending_signals[i], NULL, &action) == 0 &&
		    action.sa_handler != SIG_IGN)
			sigaddset(&ending, ending_signals[i]);
	}
	sigprocmask(SIG_BLOCK, &ending, &run->mask);
	run->signals = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
	/* Nobody could hear them: then they do what they do. */
	if (run->signals < 0)
		sigprocmask(SIG_SETMASK, &run->mask, NULL);
}

static void
wait_for_news(Run *run)
{
	struct pollfd *fds = run->fds;
	struct signalfd_siginfo signal;
	gint64 before = g_get_monotonic_time(), passed;

	for (guint i = 0; i < run->n_readers; i++)
		fds[i] = (struct pollfd){
			.fd = run->readers[i].pid > 0 ? run->readers[i].answer : -1,
			.events = POLLIN,
		};
	fds[run->n_readers] = (struct pollfd){ .fd = run->signals, .events = POLLIN };

	poll(fds, run->n_readers + 1, 1000);
	/* Longer than that we were not running ourselves. */
	passed = g_get_monotonic_time() - before;
	run->clock += MIN(passed, 2 * SECOND);

	/* Before the readers: that they are gone may be for the same reason. */
	if (read(run->signals, &signal, sizeof(signal)) == (ssize_t)sizeof(signal))
		end_by_signal(run, (int)signal.ssi_signo);

	for (guint i = 0; i < run->n_readers; i++) {
		Reader *reader = &run->readers[i];

		if (reader->pid > 0 && fds[i].revents)
			listen_to(run, reader);
		if (reader->pid > 0)
			look_at_clock(run, reader);
		if (fds[i].fd >= 0 && reader->pid == 0) {
			run->n_done++;
			run->n_failed += reader->reading->failure != NULL;
		}
	}
	progress_show(&run->progress, run->n_done, run->n_failed);
}

/* That less than the manual promises is there is for who asks for more to be said. */
static void
tell_confinement(Screen *screen, const Reading *readings, guint n)
{
	g_autofree char *missing = screen->is_verbose ? sandbox_describe_missing() : NULL;
	g_autofree char *note = NULL;
	gboolean any = FALSE;

	for (guint i = 0; i < n; i++)
		any |= readings[i].is_confined;
	if (!any || !missing)
		return;

	note = g_strdup_printf("note: images were read without %s, which this kernel does not "
			       "have or does not let us use",
			       missing);
	screen_complain(screen, note);
}

void
readers_run(const Options *options, Screen *screen, ReadersFunc read, gpointer data,
	    Reading *readings, guint n)
{
	guint jobs = MIN(MAX(options->jobs, 1), n);
	g_autofree Reader *readers = g_new0(Reader, jobs);
	g_autofree struct pollfd *fds = g_new0(struct pollfd, jobs + 1);
	Run run = { .options = options,
		    .read = read,
		    .data = data,
		    .readers = readers,
		    .n_readers = jobs,
		    .fds = fds,
		    .room = MESSAGES_MAX };
	guint next = 0;

	hold_signals(&run);
	progress_begin(&run.progress, n, !options->quiet && !options->json);
	while (run.n_done < n) {
		for (guint i = 0; i < jobs; i++) {
			/* One that could not be started leaves its place to the next. */
			while (readers[i].pid == 0 && next < n) {
				start(&run, &readers[i], &readings[next++]);
				if (readers[i].pid > 0)
					break;
				run.n_done++;
				run.n_failed++;
			}
		}
		if (run.n_done < n)
			wait_for_news(&run);
	}
	progress_end(&run.progress);
	if (run.signals >= 0)
		close(run.signals);
	sigprocmask(SIG_SETMASK, &run.mask, NULL);
	tell_confinement(screen, readings, n);
}
