# SPDX-License-Identifier: LGPL-2.1-or-later
"""disk.check() and its options."""

import dps
import makedisk
import pytest
from makedisk import Partition


@pytest.fixture(scope="module", name="bad")
def bad_fixture(tmp_path_factory):
    return makedisk.make(tmp_path_factory.mktemp("check") / "bad.raw", [
        Partition(size=8, content="ext4", type=makedisk.ROOT_X86_64),
        Partition(size=8, content="ext4", type=makedisk.ROOT_X86_64),
    ])


def codes(findings):
    return {finding.code for finding in findings}


def test_only_and_ignore(bad):
    with dps.Disk(bad) as disk:
        everything = codes(disk.check())
        assert {"esp-missing", "root-multiple", "dps-summary"} <= everything
        assert codes(disk.check(only=["esp-missing"])) == {"esp-missing"}
        assert codes(disk.check(ignore=["esp-missing", "dps-summary"])) == everything - {"esp-missing", "dps-summary"}
    assert codes(dps.check(bad, only=["root-multiple"])) == {"root-multiple"}


def test_policy(bad):
    found = {f.code: f.severity for f in dps.check(bad, policy={"esp-missing": dps.Severity.INFO, "root-multiple": "error"})}
    assert found["esp-missing"] is dps.Severity.INFO and found["root-multiple"] is dps.Severity.ERROR
    assert "esp-missing" not in codes(dps.check(bad, policy={"esp-missing": "ignore"}))


@pytest.mark.parametrize("options", [{"only": ["no-such"]}, {"ignore": ["no-such"]}, {"policy": {"no-such": "error"}},
                                     {"policy": {"esp-missing": "awful"}}, {"policy": {"dps-summary": "error"}}])
def test_what_is_no_code_is_refused(bad, options):
    with pytest.raises(dps.Error):
        dps.check(bad, **options)


@pytest.mark.parametrize("option", ["only", "ignore"])
@pytest.mark.parametrize("value", ["esp-missing", b"esp-missing", ["esp-missing", 1], [["esp-missing"]], 7])
def test_what_is_no_list_of_codes_is_refused(bad, option, value):
    """A plain string is a list of letters, and of those none is a code."""
    with pytest.raises(TypeError, match=f"{option}: a list of codes"):
        dps.check(bad, **{option: value})
    with dps.Disk(bad) as disk, pytest.raises(TypeError, match=f"{option}: a list of codes"):
        disk.check(**{option: value})


def test_all_options_at_once(bad, tmp_path):
    with dps.Disk(bad) as disk:
        found = disk.check(arch="x86_64", keep_kernels=3, only=("esp-missing", "root-multiple"),
                           ignore=["root-multiple"], policy={"esp-missing": dps.Severity.WARNING})
    (finding,) = found
    assert isinstance(finding, dps.Finding) and finding.severity is dps.Severity.WARNING
    assert finding.severity < dps.Severity.ERROR and finding.partition is None and finding.path is None
    assert isinstance(finding.message, str) and isinstance(finding.hint, str)
    assert finding.to_dict()["severity"] == "warning"


def test_esp_of_a_directory(tmp_path):
    image = makedisk.make(tmp_path / "disk.raw", [
        Partition(size=64, content="vfat", type=makedisk.ESP, files=makedisk.LOADER),
        Partition(size=8, content="ext4", type=makedisk.ROOT_X86_64),
    ])
    assert "esp-fallback-missing" not in codes(dps.check(image))
    files = tmp_path / "esp"
    files.mkdir()
    assert "esp-fallback-missing" in codes(dps.check(image, esp=files))
    makedisk.write_tree(files, makedisk.LOADER)
    assert "esp-fallback-missing" not in codes(dps.check(image, esp=str(files)))
    with pytest.raises(dps.Error) as caught:
        dps.check(image, esp=tmp_path / "nowhere")
    assert caught.value.code is dps.Code.NOT_FOUND


def test_what_cannot_be_read_raises(tmp_path):
    with pytest.raises(dps.Error) as caught:
        dps.check(tmp_path / "nowhere.raw")
    assert caught.value.code is dps.Code.NOT_FOUND
    (tmp_path / "closed.raw").write_bytes(b"")
    disk = dps.Disk(tmp_path / "closed.raw")
    disk.close()
    with pytest.raises(ValueError):
        disk.check()


def test_room_for_no_kernel_is_refused(bad):
    with pytest.raises(ValueError):
        dps.check(bad, keep_kernels=0)
