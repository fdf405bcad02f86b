#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the C source of the extension module dps._dps: build_ext.py DECLARATIONS OUTPUT"""

import sys

import cffi

PRELUDE = "#include <dps/dps.h>\n"


def main(declarations: str, output: str) -> None:
    builder = cffi.FFI()
    with open(declarations, encoding="utf-8") as file:
        builder.cdef(file.read())
    builder.set_source("dps._dps", PRELUDE)
    builder.emit_c_code(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
