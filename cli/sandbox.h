/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * Images that strangers made are read in a process that may read that image and write to one pipe,
 * and little else: a reader that they take over cannot change a file, reach the network, start a
 * program or look into another process.
 */

/* Of an image, all in dps-tag(8): a full check takes a second and some ten MiB; bombs take more. */
#define SANDBOX_CPU_SECONDS 60
#define SANDBOX_MEMORY_MIB 1024
/* On the clock: it may also just sit there. */
#define SANDBOX_SECONDS 600

#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_HAS_SANITIZER 1
#endif
#endif
#ifndef SANDBOX_HAS_SANITIZER
#define SANDBOX_HAS_SANITIZER 0
#endif

/**
 * sandbox_enter:
 * @path: the image
 *
 * Confines this process for good.  Landlock and seccomp are each taken where the kernel has them.
 *
 * Returns: %FALSE when the process could still be given privileges
 */
gboolean sandbox_enter(const char *path);

/* What a process in it may take: ours, or less when whoever started us set less. */
guint sandbox_get_cpu_seconds(void);
guint sandbox_get_memory_mib(void);

/* Closes all descriptors from @first on. */
gboolean sandbox_close_from(int first);

/* (transfer full) (nullable): "Landlock and seccomp": what this kernel does not have, or not allow;
 * NULL: all is there */
char *sandbox_describe_missing(void);
