#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# In the system with systemd: what the second phase of discovery mounted, and on whose word.
. /usr/lib/libdps-vm/report.sh

exec >/dev/console 2>&1
echo
# Whoever looks into an automount point gets what is mounted there.
for place in /efi /boot; do
	say content "$place" "$(echo $(ls "$place"))"
done
say content /srv "$(echo $(ls /srv))"
[ -e /etc/fstab ] && say fstab present || say fstab absent

sed 1d /proc/swaps | while read -r device _; do
	say swap "$device"
done
systemctl show --property=FragmentPath --value -- '*.mount' '*.automount' '*.swap' |
	grep ^/run/systemd/generator | sort -u |
	while read -r file; do
		say generated "$file"
	done
systemctl --no-pager --no-legend --plain --failed | while read -r unit _; do
	say failed "$unit"
done
report_kernel
report_loader
report_mounts
say reached root
finish
