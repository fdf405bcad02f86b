/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

int room_take(int *used, int size, int wanted);
