/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "room.h"

#include <stdio.h>
#include <stdlib.h>

/* room SIZE WANTED: says how many places are taken then. */
int
main(int argc, char **argv)
{
	int used = 0;

	if (argc != 3 || room_take(&used, atoi(argv[1]), atoi(argv[2])) != 0)
		return 1;
	printf("%d\n", used);
	return 0;
}
