/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

/*
 * Integers as formats on disk have them: little-endian, at any alignment.  Spelled out byte by
 * byte, so that they read the same on s390x; compilers make one load of it.
 */

static inline uint16_t
dps_load_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t
dps_load_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t
dps_load_le64(const uint8_t *p)
{
	return (uint64_t)dps_load_le32(p) | (uint64_t)dps_load_le32(p + 4) << 32;
}

static inline void
dps_store_le32(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)value;
	p[1] = (uint8_t)(value >> 8);
	p[2] = (uint8_t)(value >> 16);
	p[3] = (uint8_t)(value >> 24);
}

static inline void
dps_store_le64(uint8_t *p, uint64_t value)
{
	dps_store_le32(p, (uint32_t)value);
	dps_store_le32(p + 4, (uint32_t)(value >> 32));
}
