# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by what runs in the guest: each line that the tests read starts with "libdps-vm:".

say() {
	echo "libdps-vm: $*"
}

# What the boot loader left in the EFI variables, without the four bytes of attributes.
report_loader() {
	for name in LoaderDevicePartUUID LoaderInfo LoaderEntrySelected LoaderImageIdentifier StubInfo; do
		for file in /sys/firmware/efi/efivars/"$name"-*; do
			if [ -e "$file" ]; then
				say efivar "$name" "$(tail -c +5 "$file" | tr -d '\000')"
			fi
		done
	done
}

# File systems of disks, and automounts that wait for one.
report_mounts() {
	awk '/ - autofs systemd-1 / || $0 ~ / - [^ ]+ \/dev\//' /proc/self/mountinfo |
		while read -r line; do
			say mountinfo "$line"
		done
}

report_kernel() {
	say kernel "$(uname -r)"
	say cmdline "$(cat /proc/cmdline)"
	say uptime "$(cut -d' ' -f1 /proc/uptime)"
}

finish() {
	say end
	sync
	poweroff -f
}
