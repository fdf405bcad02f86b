# SPDX-License-Identifier: LGPL-2.1-or-later
"""dps-tag types, held against the table of the specification."""

import csv
import pathlib

import pytest
from conftest import TOP, call, call_on_terminal, validate

FACTS = list(csv.DictReader(open(TOP / "libdps/ground/types.csv")))


def test_json_has_every_fact():
    types = validate(call("types", "--json", status=0).json, "types")["types"]
    assert len(types) == len(FACTS)
    for ours, fact in zip(types, FACTS):
        assert ours["role"] == fact["role"]
        assert ours["arch"] == (fact["arch"] or None)
        assert ours["type_uuid"] == fact["type_uuid"].lower()


@pytest.mark.parametrize("name, arch", [("x86_64", "x86_64"), ("amd64", "x86_64"), ("x64", "x86_64"),
                                        ("arm64", "aarch64"), ("ppc64el", "ppc64le")])
def test_arch_picks_what_its_disks_can_have(name, arch):
    types = call("types", "--json", "--arch", name, status=0).json["types"]
    assert {row["arch"] for row in types} == {arch, None}
    assert len(types) == sum(fact["arch"] in (arch, "") for fact in FACTS)


def test_text():
    lines = call("types", "--arch", "x86_64", status=0).out.splitlines()
    assert lines[0].split() == ["TYPE", "UUID", "MOUNT", "POINT"]
    assert lines[1] == "root-x86-64            4f68bce3-e8cd-4db1-96e7-fbcaf984b709 /"
    assert lines[-1].split() == ["prep", "9e1a2d38-c612-4316-aa26-8b49521e5a8b"]
    assert all(len(line) <= 80 and line == line.rstrip() for line in lines)


def test_whole_table_fits_80_columns():
    out = call("types", status=0).out
    assert len(out.splitlines()) == 1 + len(FACTS)
    assert max(map(len, out.splitlines())) <= 80


def test_quiet_has_no_heading_and_verbose_more_columns():
    quiet = call("types", "--quiet", status=0).out
    assert len(quiet.splitlines()) == len(FACTS)
    verbose = call("types", "--verbose", status=0).out
    assert "root file system" in verbose and "x86_64" in verbose


def test_long_text_goes_through_the_pager(tmp_path):
    pager = pathlib.Path(tmp_path, "pager")
    pager.write_text("#!/bin/sh\necho PAGED; cat\n")
    pager.chmod(0o755)
    env = {"PAGER": str(pager)}
    assert call_on_terminal("types", lines=24, env=env).out.startswith("PAGED")
    assert "PAGED" not in call_on_terminal("types", "--no-pager", lines=24, env=env).out
    assert "PAGED" not in call_on_terminal("types", lines=500, env=env).out
    assert "PAGED" not in call_on_terminal("types", "--json", lines=24, env=env).out
    assert "PAGED" not in call("types", env=env).out


def test_a_pager_that_is_not_there_loses_nothing():
    seen = call_on_terminal("types", lines=24, env={"PAGER": "/nonexistent/pager"})
    assert seen.status == 0
    assert "9e1a2d38-c612-4316-aa26-8b49521e5a8b" in seen.out
