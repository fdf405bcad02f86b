# SPDX-License-Identifier: LGPL-2.1-or-later
"""EFI programs as small as they can be: valid headers, the sections that readers look at, no code.

They start nowhere.  What tells them apart for readers (sections, machine, .sdmagic, .sbat) is as in
the programs that others build, and tests/against holds the readers against those.
"""

import struct

X86_64, X86, ARM64 = 0x8664, 0x014C, 0xAA64
SECTION_ALIGNMENT, FILE_ALIGNMENT = 4096, 512
OSREL = b'ID=test\nNAME="Test OS"\nPRETTY_NAME="Test OS 1"\nVERSION_ID=1\n'


def up(value, unit):
    return (value + unit - 1) // unit * unit


def build(sections, machine=X86_64, subsystem=10, image_version=1, overlap=False, signed=False):
    """A PE32+ file with these sections: (name, bytes) each, in this order."""
    headers_size = up(0x40 + 24 + 240 + 40 * len(sections), FILE_ALIGNMENT)
    rows, body, address = b"", b"", SECTION_ALIGNMENT
    for name, data in sections:
        rows += struct.pack("<8sIIIIIIHHI", name.encode(), len(data), address, up(len(data), FILE_ALIGNMENT),
                            headers_size + len(body), 0, 0, 0, 0, 0x40000040)
        body += data + bytes(-len(data) % FILE_ALIGNMENT)
        if not overlap:
            address += up(max(len(data), 1), SECTION_ALIGNMENT)
    end = headers_size + len(body)
    optional = struct.pack("<HBBIIIIIQIIHHHHHHIIIIHHQQQQII", 0x20B, 0, 0, 0, 0, 0, SECTION_ALIGNMENT,
                           SECTION_ALIGNMENT, 0, SECTION_ALIGNMENT, FILE_ALIGNMENT, 0, 0, image_version, 0, 0, 0,
                           0, address + SECTION_ALIGNMENT, headers_size, 0, subsystem, 0, 0, 0, 0, 0, 0, 16)
    directories = bytearray(16 * 8)
    if signed:
        struct.pack_into("<II", directories, 4 * 8, end, 16)
    out = bytearray(headers_size)
    out[:2] = b"MZ"
    struct.pack_into("<I", out, 0x3C, 0x40)
    out[0x40:0x44] = b"PE\0\0"
    struct.pack_into("<HHIIIHH", out, 0x44, machine, len(sections), 0, 0, 0, 240, 0x222E)
    out[0x58 : 0x58 + len(optional)] = optional
    out[0x58 + 112 : 0x58 + 240] = directories
    out[0x58 + 240 : 0x58 + 240 + len(rows)] = rows
    return bytes(out) + body + (struct.pack("<IHH", 16, 0x200, 2) + bytes(8) if signed else b"")


def kernel(machine=X86_64, size=2048):
    """A kernel with an EFI stub, for menus: an EFI program of image version 1 (initrd by protocol)."""
    return build([(".text", b"\x90" * size)], machine=machine)


def uki(cmdline=None, osrel=OSREL, linux=None, machine=X86_64, size=2048, extra=(), **more):
    sections = [(".text", b"\x90" * 64), (".sdmagic", b"#### LoaderInfo: systemd-stub 257 ####\0")]
    sections += [(".osrel", osrel)] if osrel is not None else []
    sections += [(".cmdline", cmdline.encode())] if cmdline is not None else []
    sections += list(extra)
    if linux is None:
        linux = kernel(machine, size)
    return build(sections + ([(".linux", linux)] if linux else []), machine=machine, **more)


def systemd_boot(machine=X86_64, version="257", **more):
    return build([(".text", b"\x90" * 64), (".sdmagic", f"#### LoaderInfo: systemd-boot {version} ####\0".encode())],
                 machine=machine, **more)


def by_sbat(component, version, machine=X86_64, extra=b"", **more):
    rows = ("sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"
            f"{component},3,Vendor,{component},{version},https://example.org/\n")
    return build([(".text", b"\x90" * 64), (".data", extra or bytes(64)), (".sbat", rows.encode())],
                 machine=machine, **more)


def shim(**more):
    return by_sbat("shim", "15.8", **more)


def grub(version="2.06", **more):
    return by_sbat("grub", version, **more)


def addon(machine=X86_64, cmdline="quiet", uname=None, linux=None):
    sections = [(".sdmagic", b"#### LoaderInfo: systemd-addon 257 ####\0"), (".cmdline", cmdline.encode())]
    sections += [(".uname", uname.encode())] if uname else []
    sections += [(".linux", linux)] if linux else []
    return build(sections, machine=machine)
