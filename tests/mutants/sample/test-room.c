/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "room.h"

/* Forgets to take all that there is, and to take less than nothing. */
int
main(void)
{
	int used = 0;

	if (room_take(&used, 3, 4) != -1 || used != 0)
		return 1;
	if (room_take(&used, 3, 2) != 0 || used != 2)
		return 1;
	return room_take(&used, 3, 0) != 0 || used != 2;
}
