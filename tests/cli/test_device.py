# SPDX-License-Identifier: LGPL-2.1-or-later
"""dps-tag on a block device with a mounted tree: what an installer's last step does."""

import contextlib
import os
import pathlib
import re
import shutil
import stat

import makedisk
import pytest
import sanitizers
from conftest import call, validate

pytestmark = pytest.mark.skipif(not makedisk.can_mount(), reason="needs root, loop devices and btrfs")

# Source: the Discoverable Partitions Specification.
SRV = "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"


def wait_for(path):
    """Makes the node where nothing (no udev) does."""
    if not path.exists():
        major, minor = pathlib.Path("/sys/class/block", path.name, "dev").read_text().split(":")
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(int(major), int(minor)))
        return True
    return False


def attach(image, stack):
    """Puts it on a loop device with three partitions that have nodes."""
    loop = stack.enter_context(makedisk.loop_with_partitions(image))
    for number in (1, 2, 3):
        node = pathlib.Path(f"{loop}p{number}")
        if wait_for(node):
            stack.callback(node.unlink)
    return loop


@pytest.fixture(name="installed")
def installed_fixture(tmp_path):
    """A loop device with the partitions of a fresh installation, mounted at tmp_path/sysroot."""
    image = makedisk.standard(tmp_path / "disk.raw")
    root = tmp_path / "sysroot"
    root.mkdir()
    with contextlib.ExitStack() as stack:
        loop = attach(image, stack)
        makedisk.run("mount", "-o", "subvol=root", f"{loop}p3", root)
        stack.callback(makedisk.umount, root)
        (root / "boot").mkdir(exist_ok=True)
        (root / "home").mkdir(exist_ok=True)
        makedisk.run("mount", f"{loop}p2", root / "boot")
        stack.callback(makedisk.umount, root / "boot")
        (root / "etc/fstab").write_text(f"UUID=00000003-aaaa-4bbb-8ccc-dddddddddddd / btrfs subvol=root 0 0\n"
                                        f"UUID=00000002-aaaa-4bbb-8ccc-dddddddddddd /boot ext4 defaults 0 0\n"
                                        f"UUID=ABCD-0001 /boot/efi vfat defaults 0 0\n")
        yield loop, root


def default_subvolume(root):
    return makedisk.run("btrfs", "subvolume", "get-default", root).strip()


def test_the_whole_job_in_one_call(installed):
    loop, root = installed
    table_before = makedisk.run("sfdisk", "--dump", loop)
    assert default_subvolume(root) == "ID 5 (FS_TREE)"

    plan = validate(call("plan", "--json", "--arch=x86_64", "--root", root, status=1).json, "plan")
    assert plan["disk"]["path"] == loop
    assert {(a["role"], a["partition"]) for a in plan["assignments"]} >= {("root", 3), ("esp", 1)}
    assert {(c["kind"], c["partition"]) for c in plan["changes"]} == {("type", 3), ("btrfs-default", 3)}
    assert makedisk.run("sfdisk", "--dump", loop) == table_before

    done = validate(call("apply", "--json", "--arch=x86_64", "--root", root, status=0).json, "apply")
    assert done["applied"] is True
    assert makedisk.run("sfdisk", "--part-type", loop, 3).strip().lower() == makedisk.ROOT_X86_64
    assert default_subvolume(root).endswith(" path root")

    # what was is kept inside the tree, for root alone
    backup = pathlib.Path(done["backup"])
    assert backup.parent == root / "var/lib/libdps"
    assert backup.name.startswith(makedisk.DISK_UUID)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600

    # and what had to be made on the way there is as everybody needs it
    assert stat.S_IMODE(backup.parent.stat().st_mode) == 0o700
    assert [stat.S_IMODE((root / name).stat().st_mode) for name in ("var", "var/lib")] == [0o755, 0o755]

    again = validate(call("apply", "--json", "--arch=x86_64", "--root", root, status=0).json, "apply")
    assert again["applied"] is False

    call("undo", backup, status=0)
    assert makedisk.run("sfdisk", "--dump", loop) == table_before
    assert default_subvolume(root) == "ID 5 (FS_TREE)"


def test_nodes_are_named_and_taken(installed):
    loop, root = installed
    show = validate(call("show", "--json", loop, status=0).json, "show")
    assert [p["node"] for p in show["partitions"]] == [f"{loop}p{n}" for n in (1, 2, 3)]
    plan = call("plan", "--json", "--btrfs-default=keep", "--arch=x86_64", loop, f"srv={loop}p2", status=1).json
    assert [a["partition"] for a in plan["assignments"]] == [2]


@pytest.fixture(name="in_parts")
def in_parts_fixture(tmp_path):
    """As osbuild has it: the tree is mounted from a loop device over a part of the image."""
    image = makedisk.standard(tmp_path / "disk.raw")
    root = tmp_path / "sysroot"
    root.mkdir()
    with contextlib.ExitStack() as stack:
        loop = stack.enter_context(makedisk.attached(image, 3))
        makedisk.run("mount", "-o", "subvol=root", loop, root)
        stack.callback(makedisk.umount, root)
        yield image, loop, root


def test_a_loop_device_over_a_part_is_a_partition_of_the_whole(in_parts):
    image, part, root = in_parts
    with makedisk.loop_device(image) as whole:
        call("apply", "--arch=x86_64", "--backup=none", "--root", root, whole, status=0)
        assert makedisk.run("sfdisk", "--part-type", whole, 3).strip().lower() == makedisk.ROOT_X86_64
        assert default_subvolume(root).endswith(" path root")
        # the whole is the one to name, whichever the kernel lists first
        assert f"attached to {whole}: name that device" in call("apply", "--root", root, status=3).err


def test_a_part_is_not_named_as_the_disk(in_parts):
    _, part, root = in_parts
    error = call("apply", "--root", root, status=3).err
    assert f"a part of it is attached to {part}" in error and "losetup -f --show" in error


def test_a_backup_that_cannot_be_written_says_where(installed):
    _, root = installed
    (root / "var").mkdir(exist_ok=True)
    (root / "var/lib").write_text("a file")
    error = call("apply", "--arch=x86_64", "--root", root, status=3).err
    assert f"backup: {root}: /var/lib/libdps: " in error and "--backup none" in error


def test_a_disk_alone_reads_nothing_of_the_running_system(installed):
    loop, _ = installed
    result = call("apply", "--json", loop, "root=3")
    assert result.status in (0, 3)
    if result.status == 3:
        assert "--arch" in result.json["error"]["message"] or result.json["error"]["code"] == "refused"


# --- what of the machine the whole job meets


@pytest.fixture(name="unmounted")
def unmounted_fixture(tmp_path):
    """A loop device with partitions that have nodes, and that nobody has mounted."""
    image = makedisk.standard(tmp_path / "disk.raw")
    with contextlib.ExitStack() as stack:
        loop = attach(image, stack)
        yield image, loop


# What other tests have mounted just now would stay busy for as long as the call takes.
LET_GO = "sed -n 's,^/dev/loop[^ ]* \\([^ ]*\\) .*,\\1,p' /proc/self/mounts | xargs -r umount --lazy"


def call_in_own_mounts(script, *words, after="", under=(), **more):
    """A call with mounts of its own, which SCRIPT makes; they go with it.  UNDER is a command that runs it."""
    probe = call("--version", prefix=["unshare", "--mount"])
    if probe.status != 0:
        pytest.skip(f"cannot have mounts of its own here: {probe.err}")
    body = f'{LET_GO}\nset -e\n{script}\nset +e\n"$@"\nstatus=$?\n{after}\nexit $status'
    return call(*words, prefix=["unshare", "--mount", "sh", "-c", body, "sh", *under], **more)


def udev(loop, types):
    """A /run/udev whose records of the partitions of LOOP have these types."""
    lines = ["mkdir -p /run/udev", "mount -t tmpfs tmpfs /run/udev", "mkdir /run/udev/data", "touch /run/udev/control"]
    for number, kind in types.items():
        device = pathlib.Path("/sys/class/block", f"{pathlib.Path(loop).name}p{number}", "dev").read_text().strip()
        lines.append(f"printf 'I:1\\nE:ID_PART_ENTRY_TYPE={kind}\\nG:x\\n' > /run/udev/data/b{device}")
    return "\n".join(lines)


@pytest.mark.parametrize(("knows", "said"), [(True, None), (False, "udev has not read the table again within 5 s")])
def test_udev_hears_of_it(unmounted, knows, said):
    """Its records of the partitions are waited for, and not for ever."""
    _, loop = unmounted
    script = udev(loop, {2: SRV if knows else makedisk.GENERIC})
    done = call_in_own_mounts(script, "apply", "--json", "--no-check", "--backup=none", loop, "srv=2", status=0).json
    assert done["applied"]
    notes = [f["message"] for f in done["findings"] if f["code"] == "udev-not-updated"]
    assert (notes == []) if said is None else (len(notes) == 1 and said in notes[0])
    assert makedisk.run("sfdisk", "--part-type", loop, 2).strip().lower() == SRV


@pytest.mark.skipif(not shutil.which("strace"), reason="SKIP: needs strace")
def test_udev_is_waited_for_when_all_is_closed(unmounted, tmp_path):
    """udevd reads a node when its last writer closes it: the partition's and the disk's come before the wait."""
    _, loop = unmounted
    trace = tmp_path / "trace"
    call_in_own_mounts(
        udev(loop, {3: makedisk.ROOT_X86_64}), "apply", "--no-check", "--backup=none", "--arch=x86_64", "--btrfs-default=root",
        loop, "root=3", under=["strace", "-y", "-o", trace, "-e", "trace=pwrite64,close,dup3,access"],
        env=sanitizers.without_leaks(), status=0)
    lines = trace.read_text().splitlines()
    wait = next(number for number, line in enumerate(lines) if line.startswith('access("/run/udev/control"'))
    for node in (loop, f"{loop}p3"):
        writes = [(number, match[1]) for number, line in enumerate(lines) if (match := re.match(rf"pwrite64\((\d+)<{node}[<>]", line))]
        last, fd = writes[-1]
        ends = [number for number, line in enumerate(lines) if re.match(rf"(close\(|dup3\(.*, ){fd}<{node}[<>]", line)]
        assert any(last < number < wait for number in ends), (node, fd, lines[last:])


def test_a_disk_alone_is_backed_up_by_the_running_system(unmounted):
    """No tree: what was goes to /var/lib of the system that runs; the btrfs is written through its node."""
    image, loop = unmounted
    table_before = makedisk.run("sfdisk", "--dump", loop)
    result = call_in_own_mounts(
        "mount -t tmpfs tmpfs /var/lib", "apply", "--no-check", "--arch=x86_64", "--btrfs-default=root", loop, "root=3",
        after=f"cp /var/lib/libdps/{makedisk.DISK_UUID}-*.json {image}.json; stat --format=%a /var/lib/libdps", status=0)
    assert result.out.endswith("700\n")
    assert makedisk.run("sfdisk", "--part-type", loop, 3).strip().lower() == makedisk.ROOT_X86_64
    assert "root" in makedisk.run("btrfs", "inspect-internal", "dump-tree", "-t", "root", f"{loop}p3")
    with contextlib.ExitStack() as stack:
        where = image.with_name("mnt")
        where.mkdir()
        makedisk.run("mount", "-o", "ro", f"{loop}p3", where)
        stack.callback(makedisk.umount, where)
        assert default_subvolume(where).endswith(" path root")
    call("undo", f"{image}.json", loop, status=0)
    assert makedisk.run("sfdisk", "--dump", loop) == table_before


def test_a_read_only_device(tmp_path, failure):
    image = makedisk.standard(tmp_path / "disk.raw")
    with makedisk.loop_device(image, "--read-only") as loop:
        failure("apply", loop, "srv=2", status=3, code="permission", says="the device is read-only")


def test_who_may_not_ask_a_loop_device(public):
    """Without privilege its node tells nothing; the file that sysfs names does."""
    image = makedisk.make(public / "disk.raw", [makedisk.Partition(size=4)])
    os.chmod(image, 0o666)
    os.chmod(public, 0o777)
    with makedisk.loop_device(image) as loop:
        error = call("apply", image, "srv=1", prefix=makedisk.NOBODY, status=3).err
        assert f"attached to {loop}: name that device" in error
