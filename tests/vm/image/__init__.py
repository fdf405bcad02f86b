# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds small bootable disks from Debian packages; nothing is installed on the host."""
