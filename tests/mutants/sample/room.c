/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "room.h"

/* Takes @wanted of @size places; 0 when there are so many, else -1 and nothing is taken. */
int
room_take(int *used, int size, int wanted)
{
	if (wanted < 0 || wanted > size - *used)
		return -1;
	if (wanted == 0)
		return 0;

	*used += wanted;
	return 0;
}

int
room_unused(int size)
{
	return size - 1;
}
