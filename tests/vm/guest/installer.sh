#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# An installer at the moment of its %post: the target is mounted, /dev and its kin are bound, and
# the script runs in a chroot.  Nothing afterwards asks the kernel or udev to look again.
# mount and umount by their paths: the shell has smaller ones built in.
. /usr/lib/libdps-vm/report.sh

target=/mnt/sysroot
disk=/dev/vda

report_types() {
	for part in "$disk"[0-9]*; do
		type=$(udevadm info --query=property --property=ID_PART_ENTRY_TYPE --value "$part")
		say "$1" "${part#"$disk"}" "$type"
	done
}

root=${disk}2
bring_up() {
	if /usr/bin/cryptsetup isLuks "$root"; then
		/usr/bin/cryptsetup open --key-file=/payload/luks.key "$root" luks-root || return 1
		root=/dev/mapper/luks-root
	fi
	mkdir -p "$target" &&
		/usr/bin/mount -o subvol=root "$root" "$target" &&
		/usr/bin/mount -o subvol=home "$root" "$target/home" &&
		/usr/bin/mount "${disk}1" "$target/boot/efi" &&
		/usr/bin/mount "${disk}3" "$target/srv" &&
		/usr/sbin/swapon "${disk}4" || return 1
	for name in dev proc sys run; do
		/usr/bin/mount --rbind "/$name" "$target/$name" || return 1
	done
}

echo
udevadm settle --timeout=100
report_types type-before
if ! bring_up; then
	say reached not-mounted
	report_mounts
	finish
fi

# As a package would be installed.
cp -a /payload/target/. "$target/"

chroot "$target" /bin/sh /tmp/ks-script-post >/run/post.log 2>&1
say post-status $?
while read -r line; do
	say post "$line"
done </run/post.log
report_types type-after
for file in "$target"/var/lib/libdps/*.json; do
	[ -e "$file" ] && say backup "${file##*/}"
done
report_kernel
report_mounts

/usr/sbin/swapoff "${disk}4"
for name in dev proc sys run; do
	/usr/bin/umount --recursive --lazy "$target/$name"
done
/usr/bin/umount --recursive "$target" || say still-mounted "$target"
[ "$root" = "${disk}2" ] || /usr/bin/cryptsetup close luks-root || say still-open "$root"
say reached done
finish
