#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Instead of the emergency shell: what failed, then off.
. /usr/lib/libdps-vm/report.sh

echo
say reached emergency
systemctl --no-pager --no-legend --plain --failed | while read -r unit _; do
	say failed "$unit"
done
report_kernel
report_loader
report_mounts
dmesg | grep -iE 'gpt-auto|sysroot|btrfs|ext4|xfs' | tail -n 15
finish
