# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boots disks in QEMU with UEFI firmware and writes down what was seen on the serial line."""
