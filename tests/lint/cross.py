#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The sandbox on other architectures: cross.py SOURCE-ROOT BUILD-ROOT

The numbers of system calls, and which of them there are, differ: what confines readers is read by
a compiler for each architecture whose headers are here, with the filter that the architecture has,
and once more as for one that has none.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

# Target, and the architecture that the filter must be for.
TARGETS = {
    "aarch64-linux-gnu": "AUDIT_ARCH_AARCH64",
    "powerpc64le-linux-gnu": "AUDIT_ARCH_PPC64LE",
    "riscv64-linux-gnu": "AUDIT_ARCH_RISCV64",
    "s390x-linux-gnu": "AUDIT_ARCH_S390X",
}
SKIP = 77


def main() -> int:
    source, build = Path(sys.argv[1]), Path(sys.argv[2])
    clang = shutil.which("clang")
    here = [target for target in TARGETS if Path("/usr", target, "include/asm/unistd.h").exists()]
    if not clang or not here:
        print("SKIP: no clang, or no headers of another architecture (libc6-dev-arm64-cross)")
        return SKIP

    glib = subprocess.run(["pkg-config", "--cflags", "glib-2.0"], capture_output=True, text=True, check=True)
    status = 0
    for target in here:
        audit = TARGETS[target]
        call = [clang, f"--target={target}", "-nostdlibinc", "-isystem", f"/usr/{target}/include",
                "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-std=gnu11", "-D_GNU_SOURCE",
                "-D_FILE_OFFSET_BITS=64", f"-I{source}/libdps/include", f"-I{build}/libdps/include",
                *glib.stdout.split(), str(source / "cli/sandbox.c")]
        for extra in ([], ["-DSANDBOX_HAS_NO_FILTER"]):
            done = subprocess.run([*call, *extra, "-fsyntax-only"], capture_output=True, text=True)
            if done.returncode != 0:
                print(f"{target} {' '.join(extra)}:\n{done.stderr}")
                status = 1
        macros = subprocess.run([*call, "-E", "-dM"], capture_output=True, text=True, check=True).stdout
        if f"#define OUR_ARCH {audit}\n" not in macros:
            print(f"{target}: the filter is not for {audit}")
            status = 1
        print(f"{target}: {audit}")
    return status


if __name__ == "__main__":
    sys.exit(main())
