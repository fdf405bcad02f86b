#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Turns types.csv into a table of DpsType: types-gen.py types.csv types.h arch.c OUTPUT

Refuses a GUID or a (role, arch) that comes twice, and a role or an architecture that the headers
do not have, so that the table and the enumerations cannot drift apart.
"""

import csv
import re
import sys
import uuid


def constant(prefix: str, name: str) -> str:
    return prefix + name.upper().replace("-", "_")


def type_name(role: str, systemd_arch: str) -> str:
    """systemd puts the architecture behind the first word: root-x86-64-verity-sig."""
    if not systemd_arch:
        return role
    head, _, tail = role.partition("-")
    return "-".join(filter(None, (head, systemd_arch, tail)))


def main(csv_path: str, header_path: str, arch_path: str, output_path: str) -> None:
    with open(header_path, encoding="utf-8") as file:
        constants = set(re.findall(r"\bDPS_(?:ROLE|ARCH)_\w+", file.read()))
    with open(arch_path, encoding="utf-8") as file:
        systemd_names = dict(
            re.findall(r'\[DPS_ARCH_\w+\] = \{ "([^"]+)", "([^"]+)"', file.read())
        )

    rows = []
    seen: set[object] = set()
    with open(csv_path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            role, arch = row["role"], row["arch"]
            guid = str(uuid.UUID(row["type_uuid"]))
            for key in (guid, (role, arch)):
                if key in seen:
                    sys.exit(f"{csv_path}: {key}: twice")
                seen.add(key)
            names = constant("DPS_ROLE_", role), constant("DPS_ARCH_", arch or "none")
            for name in names:
                if name not in constants:
                    sys.exit(f"{csv_path}: {role},{arch}: {header_path} has no {name}")
            if arch and arch not in systemd_names:
                sys.exit(f"{csv_path}: {arch}: not in {arch_path}")
            name = type_name(role, systemd_names.get(arch, ""))
            rows.append(f'\t{{ {names[0]}, {names[1]}, "{guid}", "{name}" }},\n')

    with open(output_path, "w", encoding="utf-8") as file:
        file.write("/* Made by types-gen.py from types.csv. */\n")
        file.write('#include "ground/types.h"\n\n')
        file.write("const DpsType dps_types[] = {\n" + "".join(rows) + "};\n\n")
        file.write("const guint dps_types_count = G_N_ELEMENTS(dps_types);\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
