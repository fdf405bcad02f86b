/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Wakes one mutant: included by run.py into the copies that it compiles, never by libdps.
 *
 *	DPS_MUTANT=NUMBER	the one to wake; 0: none.  Without it the program stops: a test that
 *				clears the environment would test the original, and see nothing.
 *	DPS_MUTANTS_REACHED=FILE	a byte for each number, set when a run comes by
 */
#ifndef DPS_MUTANT_H
#define DPS_MUTANT_H

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define DPS_MUTANTS_MAX 65536

static unsigned long dps_mutant_awake;
static unsigned char *dps_mutants_reached;

/* Before main(): what confines the program later does not confine this. */
__attribute__((constructor)) static void
dps_mutant_start(void)
{
	const char *number = getenv("DPS_MUTANT");
	const char *path = getenv("DPS_MUTANTS_REACHED");
	int fd;

	if (!number)
		abort();
	dps_mutant_awake = strtoul(number, NULL, 10);
	if (!path)
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		abort();
	dps_mutants_reached =
		mmap(NULL, DPS_MUTANTS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (dps_mutants_reached == MAP_FAILED)
		abort();
	close(fd);
}

static inline int
dps_mutant(unsigned long number)
{
	if (dps_mutants_reached)
		dps_mutants_reached[number] = 1;
	return number == dps_mutant_awake;
}

#endif
