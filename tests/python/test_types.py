# SPDX-License-Identifier: LGPL-2.1-or-later
"""Types, roles, architectures: what they are, and what blivet would have said."""

from __future__ import annotations

import csv
import pickle
import uuid
from pathlib import Path, PurePosixPath
from typing import Optional, Union

import dps
import pytest
from dps._ffi import lib

TYPES_CSV = Path(__file__).parents[2] / "libdps/ground/types.csv"

# What blivet 3.14 answers for / and /usr, by the names that its arch module gives to machines.
BLIVET = [
    ("alpha", "6523f8ae-3eb1-4e2a-a05a-18b695ae656f", "e18cf08c-33ec-4c0d-8246-c6c6fb3da024"),
    ("arc", "d27f46ed-2919-4cb8-bd25-9531f3c16534", "7978a683-6316-4922-bbee-38bff5a2fecc"),
    ("arm", "69dad710-2ce4-4e3c-b16c-21a1d49abed3", "7d0359a3-02b3-4f0a-865c-654403e70625"),
    ("aarch64", "b921b045-1df0-41c3-af44-4c6f280d3fae", "b0e01050-ee5f-4390-949a-9101b17104e9"),
    ("i386", "44479540-f297-41b2-9af7-d131d5f0458a", "75250d76-8cc6-458e-bd66-bd47cc81a812"),
    ("ia64", "993d8d3d-f80e-4225-855a-9daf8ed7ea97", "4301d2a6-4e3b-4b2a-bb94-9e0b2c4225ea"),
    ("loongarch64", "77055800-792c-4f94-b39a-98c91b762bb6", "e611c702-575c-4cbe-9a46-434fa0bf7e3f"),
    ("mips64el", "700bda43-7a34-4507-b179-eeb93d7a7ca3", "c97c1f32-ba06-40b4-9f22-236061b08aa8"),
    ("mipsel", "37c58c8a-d913-4156-a25f-48b1b64e07f0", "0f4868e9-9952-4706-979f-3ed3a473e947"),
    ("parisc", "1aacdb3b-5444-4138-bd9e-e5c2239b2346", "dc4a4480-6917-4262-a4ec-db9384949f25"),
    ("ppc", "1de3f1ef-fa98-47b5-8dcd-4a860a654d78", "7d14fec5-cc71-415d-9d6c-06bf0b3c3eaf"),
    ("ppc64", "912ade1d-a839-4913-8964-a10eee08fbd2", "2c9739e2-f068-46b3-9fd0-01c5a9afbcca"),
    ("ppc64le", "c31c45e6-3f39-412e-80fb-4809c4980599", "15bb03af-77e7-4d4a-b12b-c0d084f7491c"),
    ("riscv32", "60d5a7fe-8e7d-435c-b714-3dd8162144e1", "b933fb22-5c3f-4f91-af90-e2bb0fa50702"),
    ("riscv64", "72ec70a6-cf74-40e6-bd49-4bda08e8f224", "beaec34b-8442-439b-a40b-984381ed097d"),
    ("s390", "08a7acea-624c-4a20-91e8-6e0fa67d23f9", "cd0f869b-d0fb-4ca0-b141-9ea87cc78d66"),
    ("s390x", "5eead9a9-fe09-4a1e-a1d7-520d00531306", "8a4f5770-50aa-4ed3-874a-99b710db6fea"),
    ("tilegx", "c50cdd70-3862-4cc3-90e1-809a8c93ee2c", "55497029-c7c1-44cc-aa39-815ed1558630"),
    ("x86_64", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "8484680c-9521-48c6-9c11-b0720656f69e"),
]
# The rest of its map, the same for all of them.
BLIVET_ANY = [
    ("/efi", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
    ("/boot/efi", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
    ("/boot", None),
    ("/home", "933ac7e1-2eb4-4f13-b844-0e14e2aef915"),
    ("/srv", "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"),
    ("/var", "4d21b016-b534-45c2-a9fb-5c16e091fd2d"),
    ("/opt", None),
    ("/usr/local", None),
    ("/var/log", None),
    ("swap", None),
    ("", None),
]


def uuid_for(path: str, arch: str) -> Optional[str]:
    found = dps.type_for_mount_point(path, arch)
    return str(found.uuid) if found else None


@pytest.mark.parametrize(("arch", "root", "usr"), BLIVET)
def test_as_blivet(arch: str, root: str, usr: str) -> None:
    assert uuid_for("/", arch) == root
    assert uuid_for("/usr", arch) == usr
    for path, expected in BLIVET_ANY:
        assert uuid_for(path, arch) == expected, path


@pytest.mark.parametrize(
    ("path", "arch", "expected"),
    [
        # blivet tags /tmp with the type that systemd mounts at /var/tmp, and /var/tmp with none.
        ("/tmp", "x86_64", None),
        ("/var/tmp", "x86_64", "7ec6f557-3bc5-4aca-b293-16ef5df639d1"),
        # It refuses these three.
        ("/", "mips", "e9434544-6e2c-47cc-bae2-12d6deafb44c"),
        ("/", "mips64", "d113af76-80ef-41b4-bdb6-0cff4d3d4a25"),
        ("/", "i686", "44479540-f297-41b2-9af7-d131d5f0458a"),
    ],
)
def test_where_blivet_errs(path: str, arch: str, expected: Optional[str]) -> None:
    assert uuid_for(path, arch) == expected


@pytest.mark.parametrize("arch", ["e2k", "sparc64", "z80", "", "x86_64 ", "x86_64\n", "é"])
def test_unknown_arch(arch: str) -> None:
    with pytest.raises(dps.UnknownArch) as caught:
        dps.type_for_mount_point("/", arch=arch)
    assert isinstance(caught.value, dps.Error)
    assert isinstance(caught.value, ValueError)
    assert caught.value.code is dps.Code.INVALID
    assert caught.value.partition is None
    assert str(caught.value).startswith(f"{arch}: ")


def test_types_of_arguments() -> None:
    expected = dps.type_for_mount_point("/home")
    assert expected is not None
    for path in (b"/home", Path("/home"), PurePosixPath("/home"), "/home/"):
        assert dps.type_for_mount_point(path) == expected
    found = dps.type_for_mount_point("/", dps.Arch.AARCH64)
    assert found and isinstance(found.uuid, uuid.UUID) and found.arch is dps.Arch.AARCH64
    with pytest.raises(ValueError, match="null byte"):
        dps.type_for_mount_point("/home\0/", "x86_64")
    with pytest.raises(ValueError, match="null byte"):
        dps.Arch("x86_64\0")
    with pytest.raises(TypeError):
        dps.type_for_mount_point(5)  # type: ignore[arg-type]
    for wrong in (5, None, b"x86_64"):
        with pytest.raises(dps.UnknownArch):
            dps.Arch(wrong)


def test_native() -> None:
    """Without an architecture it is the one of this machine, as blivet has it."""
    assert dps.type_for_mount_point("/") == dps.type_for_mount_point("/", dps.Arch.native())


def test_every_type() -> None:
    """The table of the specification, row by row, by each way to look one up."""
    with TYPES_CSV.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 137
    types = dps.all_types()
    assert [(t.role.value, t.arch.value if t.arch else "", str(t.uuid)) for t in types] == [
        (row["role"], row["arch"], row["type_uuid"].lower()) for row in rows
    ]
    for t in types:
        assert dps.type_lookup(t.role, t.arch) == t
        assert dps.type_lookup_name(t.name) == t
        for text in (t.uuid, str(t.uuid), str(t.uuid).upper()):
            assert dps.type_lookup_uuid(text) == t
        assert t.role.needs_arch == (t.arch is not None)
        assert str(t) == t.name
    assert dps.type_lookup_uuid(uuid.UUID(int=0)) is None
    assert dps.type_lookup_uuid("nonsense") is None
    assert dps.type_lookup_name("root") is None
    assert dps.type_lookup("root") is None
    names = [t.name for t in dps.all_types("amd64")]
    assert "root-x86-64" in names and "home" in names and "root-arm64" not in names


def test_names_of_others() -> None:
    for alias in ("amd64", "AMD64", "x64", "x86-64"):
        assert dps.Arch(alias) is dps.Arch.X86_64
    assert dps.Arch("arm64").systemd_name == "arm64"
    assert dps.Arch.X86_64.efi_suffix == "X64"
    assert dps.Arch.X86_64.pe_machine == 0x8664
    assert dps.Arch.S390X.efi_suffix is None
    assert dps.Arch.S390X.pe_machine is None
    with pytest.raises(dps.UnknownRole):
        dps.Role("boot")


@pytest.mark.parametrize(
    ("members", "prefix", "others"),
    [
        (dps.Role, "DPS_ROLE_", {"NONE"}),
        (dps.Arch, "DPS_ARCH_", {"NONE"}),
        (dps.Code, "DPS_ERROR_", set()),
        (dps.Flags, "DPS_FLAG_", set()),
    ],
)
def test_enums_are_the_headers(
    members: Union[type[dps.Role], type[dps.Flags]], prefix: str, others: set[str]
) -> None:
    """What the compiler found in the headers is what the enumerations have."""
    constants = {name[len(prefix) :] for name in dir(lib) if name.startswith(prefix)}
    assert constants - others == {m.name for m in members} - {"UNKNOWN"}


def test_numbers_are_the_headers() -> None:
    for role in dps.Role:
        number = getattr(lib, f"DPS_ROLE_{role.name}")
        assert lib.dps_role_from_string(role.value.encode()) == number
    for arch in dps.Arch:
        number = getattr(lib, f"DPS_ARCH_{arch.name}")
        assert lib.dps_arch_from_string(arch.value.encode()) == number
    for code in set(dps.Code) - {dps.Code.UNKNOWN}:
        number = getattr(lib, f"DPS_ERROR_{code.name}")
        assert lib.dps_error_code_to_string(number) == lib_bytes(code.value)
    for flag in dps.Flags:
        assert getattr(lib, f"DPS_FLAG_{flag.name}") == flag.value
        assert lib.dps_flag_from_string(flag.names[0].encode()) == flag.value
        assert flag.names == (str(flag.name).lower().replace("_", "-"),)


def lib_bytes(text: str) -> object:
    """Compares equal to a char * that reads like text."""

    class Same:
        def __eq__(self, pointer: object) -> bool:
            from dps._ffi import ffi

            return bool(ffi.string(pointer) == text.encode())

    return Same()


def test_flags() -> None:
    both = dps.Flags.GROWFS | dps.Flags.NO_AUTO
    assert both == 0x8800000000000000
    assert both.names == ("growfs", "no-auto")
    assert dps.Flags(1 << 48).names == ()
    assert dps.Flags(0).names == ()


def test_code_of_a_newer_library() -> None:
    assert dps.Code("invented-later") is dps.Code.UNKNOWN


def test_pickle() -> None:
    error = dps.Error("disk.raw: no table", dps.Code.NO_TABLE, 3)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.code, again.partition) == ("disk.raw: no table", error.code, 3)
    root = dps.type_for_mount_point("/", "x86_64")
    assert pickle.loads(pickle.dumps(root)) == root
    with pytest.raises(AttributeError):
        root.name = "x"  # type: ignore[union-attr,misc]


def test_version() -> None:
    root = (Path(__file__).parents[2] / "meson.build").read_text(encoding="utf-8")
    package = (Path(__file__).parents[2] / "bindings/python/meson.build").read_text("utf-8")
    line = f"version: '{dps.__version__}'"
    assert line in root and line in package
