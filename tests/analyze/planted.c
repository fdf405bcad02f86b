/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Not built: each analyzer must find a fault here, or it does not find any. */
#include <stdlib.h>

int
planted(int index)
{
	int numbers[4] = { 0 };
	char *bytes = malloc(16);
	int *none = NULL;

	if (!bytes)
		return numbers[4];
	free(bytes);
	free(bytes);
	return index > 0 ? *none : bytes[0];
}
