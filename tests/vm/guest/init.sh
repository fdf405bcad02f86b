#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The init of the small root: says where it is and powers off.
exec >/dev/console 2>&1
. /usr/lib/libdps-vm/report.sh

echo
say reached root
report_kernel
report_loader
report_mounts
finish
