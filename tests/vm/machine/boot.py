# SPDX-License-Identifier: LGPL-2.1-or-later
"""One boot: starts the machine, keeps log and record under one name, returns the record."""

import json
import os
import pathlib

from . import console, qemu, record

# Three times the longest boot that was measured under emulation on two busy cores.
LIMIT = float(os.environ.get("LIBDPS_VM_LIMIT", "240"))
TRIES = 2


def boot(
    name: str,
    logs: pathlib.Path,
    drives: list[qemu.Drive],
    arch: str = "x86_64",
    direct: qemu.DirectKernel | None = None,
    predicted: dict | None = None,
) -> dict:
    accelerator = qemu.accelerator(arch)
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    # A guest that crashed tells nothing of its disk: where it left no trace, it gets another go.
    tries = 1 if any(drive.keep for drive in drives) else TRIES
    for attempt in range(1, tries + 1):
        with qemu.private_variables(arch) as variables:
            command = qemu.command(arch, accelerator, variables, drives, direct)
            session = console.run(command, log, LIMIT)
        seen = record.of_session(session)
        if seen["result"] != "broken-bench" or attempt == tries:
            break
        log.rename(logs / f"{name}.broken-{attempt}.log")
    seen.update(name=name, arch=arch, accelerator=accelerator, attempts=attempt)
    seen.update(log=log.name, predicted=predicted)
    (logs / f"{name}.json").write_text(json.dumps(seen, indent=1) + "\n")
    return seen
