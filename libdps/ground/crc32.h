/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * The CRC32 of GPT headers and entry arrays: polynomial 0x04C11DB7 reflected, begun and ended with
 * all bits set; that of "123456789" is 0xCBF43926.
 *
 * Source: UEFI 2.10 section 5.3.2 ("CCITT32 ANSI CRC"); ISO 3309.
 */
uint32_t dps_crc32(const uint8_t *bytes, size_t size);
