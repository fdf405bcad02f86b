#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# In the initrd: once udev has nothing more to do, the root device is there or never will be.
# systemd would wait 90 s for it; shorter time-outs would fail sound disks on a slow machine.
. /usr/lib/libdps-vm/report.sh

udevadm settle --timeout=100 || say unsettled

root=missing
for link in /dev/gpt-auto-root /dev/gpt-auto-root-luks; do
	[ -e "$link" ] && root=$(readlink -f "$link")
done

# usrhash=: systemd-veritysetup-generator waits for the partition with the first half as its UUID.
usr=unasked
for word in $(cat /proc/cmdline); do
	case $word in
	usrhash=*)
		hash=${word#usrhash=}
		half=$(echo "$hash" | cut -c1-32 |
			sed 's/^\(.\{8\}\)\(.\{4\}\)\(.\{4\}\)\(.\{4\}\)/\1-\2-\3-\4-/')
		usr=missing
		[ -e "/dev/disk/by-partuuid/$half" ] && usr=found
		;;
	esac
done

say root-device "$root"
say usr-device "$usr"
if [ "$root" = missing ] || [ "$usr" = missing ]; then
	[ "$root" = missing ] && say reached no-root-device || say reached no-usr-device
	report_kernel
	report_loader
	finish
fi
