/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Objects share nothing: each thread has a disk of its own, and does with it all that can be done.
 * `./dev tsan` runs this with the thread sanitizer, which sees every access that is not in order.
 */
#include <dps/dps.h>
#include "apply-disk.h"

#include <pthread.h>
#include <stdio.h>

#define N_THREADS 8
#define N_ROUNDS 3

static void
check(Fixture *self)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsDisk) disk = dps_disk_open(self->path, DPS_OPEN_READ_ONLY, &error);
	g_autoptr(DpsCheckOptions) options = dps_check_options_new();
	g_autoptr(GPtrArray) findings = NULL;

	g_assert_no_error(error);
	dps_check_options_set_arch(options, DPS_ARCH_X86_64);
	findings = dps_check(disk, NULL, options, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(findings->len, >, 0);
}

/* What fails says why, with a domain that the first to fail registers. */
static void
fail(void)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(dps_disk_open("/nowhere/disk.raw", DPS_OPEN_READ_ONLY, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
}

static void *
use_a_disk(void *barrier)
{
	Fixture self;

	set_up(&self, NULL);
	pthread_barrier_wait(barrier);
	for (int i = 0; i < N_ROUNDS; i++) {
		g_autoptr(GError) error = NULL;

		fail();
		g_assert_true(apply(&self, self.backup, &error));
		g_assert_no_error(error);
		assert_disk(&self, NEW);
		check(&self);
		g_assert_true(undo(&self, &error));
		g_assert_no_error(error);
		assert_disk(&self, OLD);
		g_assert_cmpint(remove(self.backup), ==, 0);
	}
	tear_down(&self, NULL);
	return NULL;
}

static void
run_threads(void *(*work)(void *), void *data)
{
	pthread_t threads[N_THREADS];

	for (int i = 0; i < N_THREADS; i++)
		g_assert_cmpint(pthread_create(&threads[i], NULL, work, data), ==, 0);
	for (int i = 0; i < N_THREADS; i++)
		g_assert_cmpint(pthread_join(threads[i], NULL), ==, 0);
}

static void
test_disks(void)
{
	pthread_barrier_t barrier;

	g_assert_cmpint(pthread_barrier_init(&barrier, NULL, N_THREADS), ==, 0);
	run_threads(use_a_disk, &barrier);
	pthread_barrier_destroy(&barrier);
}

static void *
hold_and_let_go(void *disk)
{
	for (int i = 0; i < 1000; i++)
		dps_disk_unref(dps_disk_ref(disk));
	dps_disk_unref(disk);
	return NULL;
}

/* A collector of garbage lets go in any thread: the last one frees, once. */
static void
test_references(void)
{
	DpsDisk *disk;
	Fixture self;

	set_up(&self, NULL);
	disk = open_disk(&self);
	for (int i = 1; i < N_THREADS; i++)
		dps_disk_ref(disk);
	run_threads(hold_and_let_go, disk);
	/* It is gone, and its lock with it. */
	dps_disk_unref(open_disk(&self));
	tear_down(&self, NULL);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/threads/disks", test_disks);
	g_test_add_func("/threads/references", test_references);
	return g_test_run();
}
