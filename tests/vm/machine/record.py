# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was seen in one boot, as data: read out of the lines that the guest's scripts print.

A record is kept beside each serial log, so that what a machine did can be held against what
`dps-tag explain` says it will do, also later and elsewhere.
"""

import re

from .console import Session

REPORT = re.compile(r"(?:^|\s)libdps-vm: (\S+) ?(.*)$")
PANIC = re.compile(r"Kernel panic - not syncing|Attempted to kill init")


def mount_of(line: str) -> dict:
    """One line of /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    before, after = line.split(" - ", 1)
    fields, rest = before.split(), after.split()
    return {
        "mount_point": fields[4],
        "fs_root": fields[3],
        "fstype": rest[0],
        "source": rest[1],
        "options": rest[2],
    }


def of_session(session: Session) -> dict:
    """result is where the boot got to:

    root            the init of the root file system ran
    no-root-device  udev had settled and there was no /dev/gpt-auto-root
    no-usr-device   the same for the partition that usrhash= names
    switch-root     a root was mounted, and is no root: systemd could not switch to it
    emergency       anything else that systemd gave up on
    done            an installer came to its end
    broken-bench    panic, time out, or silence: says nothing about the disk
    """
    record = {
        "version": 1,
        "result": "broken-bench",
        "root": None,
        "root_device": None,
        "kernel": None,
        "command_line": None,
        "loader": {},
        "mounts": [],
        "failed_units": [],
        "facts": {},
        "seconds": session.seconds,
        "seconds_in_guest": None,
    }
    reached, ended, panicked = None, False, False
    for line in session.lines:
        panicked = panicked or PANIC.search(line.text) is not None
        match = REPORT.search(line.text)
        if match is None:
            continue
        word, rest = match[1], match[2].strip()
        if word == "reached":
            reached = rest
        elif word == "end":
            ended = True
        elif word == "efivar":
            name, _, value = rest.partition(" ")
            record["loader"][name] = value
        elif word == "mountinfo":
            record["mounts"].append(mount_of(rest))
        elif word == "failed":
            record["failed_units"].append(rest)
        elif word == "kernel":
            record["kernel"] = rest
        elif word == "cmdline":
            record["command_line"] = rest
        elif word == "uptime":
            record["seconds_in_guest"] = float(rest)
        elif word == "root-device":
            record["root_device"] = rest
        else:
            record["facts"].setdefault(word, []).append(rest)

    if reached and ended and not panicked and not session.timed_out:
        record["result"] = reached
    if record["result"] == "emergency" and "initrd-switch-root.service" in record["failed_units"]:
        record["result"] = "switch-root"
    place = "/" if record["result"] == "root" else "/sysroot"
    # The last mount on a place is the one that is seen.
    for mount in record["mounts"]:
        if mount["mount_point"] == place:
            record["root"] = mount
    return record
