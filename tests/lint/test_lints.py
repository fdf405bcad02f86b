# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lints on small made-up projects: one with nothing wrong, and each thing wrong by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import coverage_report as coverage
import layers
import rooms
import symbols

SPDX = "/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"

GOOD = {
    "libdps/include/dps/thing.h": "#include <glib.h>\n#include <dps/version.h>\n"
    "#include <stdint.h>\n",
    "libdps/ground/region.h": "#include <glib.h>\n#include <stdint.h>\n",
    "libdps/ground/region.c": '#include "ground/region.h"\n#include <unistd.h>\n',
    "libdps/format/fat.h": '#include "ground/region.h"\n',
    "libdps/target/disk.h": '#include <dps/thing.h>\n#include "format/fat.h"\n',
    "libdps/target/disk.c": '#include "target/disk.h"\n#include "target/medium.h"\n',
    "libdps/target/fdisk.c": "#include <libfdisk/libfdisk.h>\n",
    "libdps/target/medium.h": '#include "ground/region.h"\n',
    "libdps/target/medium.c": '#include "target/medium.h"\n#include <linux/fs.h>\n'
    "#include <fcntl.h>\n",
    "libdps/decide/plan.c": '#include "target/disk.h"\n/* open(2) is not for us */\n',
    "libdps/decide/backup.c": "#include <jansson.h>\nvoid f(void) { open(p, 0); }\n",
    "cli/main.c": '#include <dps/dps.h>\n#include "text.h"\n',
    "cli/text.h": "#include <dps/dps.h>\n",
    "cli/text.c": "#include <libsmartcols/libsmartcols.h>\n",
    "bindings/python/dps/_dps.cdef.h": "typedef int gboolean;\n",
}


def make_project(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SPDX + text)
    return root


def test_layers_good(tmp_path: Path) -> None:
    assert layers.check_tree(make_project(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "libdps/ground/x.c",
            '#include "format/fat.h"\n',
            "ground includes format/fat.h, which is",
        ),
        ("libdps/format/x.c", '#include "target/disk.h"\n', "which is above it"),
        ("libdps/format/x.c", '#include "fat.h"\n', "not written from libdps/"),
        ("libdps/format/x.c", '#include "../ground/region.h"\n', "not written from libdps/"),
        ("libdps/format/x.c", '#include "libdps/ground/region.h"\n', "not written from libdps/"),
        ("libdps/format/x.c", '#include "ground/nothing.h"\n', "is not there"),
        (
            "libdps/format/x.c",
            "#include <libfdisk/libfdisk.h>\n",
            "enters through libdps/target/fdisk.c",
        ),
        ("libdps/format/x.c", "  #  include <blkid/blkid.h>\n", "enters through"),
        ("libdps/decide/x.c", "#include <jansson.h>\n", "enters through"),
        ("libdps/decide/x.c", "#include <curl/curl.h>\n", "no file is the door of"),
        ("libdps/format/x.c", "#include <linux/fs.h>\n", "the kernel is met in libdps/target/"),
        ("libdps/ground/x.c", "#include <gio/gio.h>\n", "of GLib, <glib.h> alone"),
        ("libdps/ground/x.c", "#include <dps/dps.h>\n", "for users"),
        ("libdps/decide/x.c", "int f(void) { return open(p, 0); }\n", "opens nothing itself"),
        ("libdps/decide/x.c", "void f(void) { g_file_get_contents(p); }\n", "opens nothing itself"),
        (
            "libdps/target/x.c",
            'void f(void) { g_prefix_error(error, "%s: ", name); }\n',
            "dps_prefix_error() is ours",
        ),
        ("libdps/other/x.c", "", "on no floor"),
        ("libdps/x.c", "", "on no floor"),
        ("libdps/include/dps/x.h", "#include <libfdisk/libfdisk.h>\n", "a public header includes"),
        ("libdps/include/dps/x.h", '#include "ground/region.h"\n', "a public header includes"),
        ("cli/x.c", '#include "ground/region.h"\n', "is not a file of cli/"),
        ("cli/x.c", '#include "../libdps/ground/region.h"\n', "is not a file of cli/"),
        ("cli/x.c", "#include <jansson.h>\n", "enters through"),
        (
            "bindings/python/x.py",
            'P = """\n#include "ground/region.h"\n"""\n',
            "not a file of bindings/",
        ),
        ("bindings/python/x.c", "#include <libmount/libmount.h>\n", "enters through"),
    ],
)
def test_layers_bad_include(tmp_path: Path, name: str, text: str, message: str) -> None:
    problems = layers.check_tree(make_project(tmp_path, {**GOOD, name: text}))
    assert [p for p in problems if p.startswith(name) and message in p], problems
    assert len(problems) == 1


def test_layers_circle(tmp_path: Path) -> None:
    files = {
        "libdps/format/a.h": '#include "format/b.h"\n',
        "libdps/format/b.c": '#include "format/c.h"\n',
        "libdps/format/b.h": "",
        "libdps/format/c.h": '#include "format/a.h"\n',
    }
    problems = layers.check_tree(make_project(tmp_path, {**GOOD, **files}))
    assert problems == ["libdps/format/a: a circle: format/a -> format/b -> format/c -> format/a"]


def test_layers_internal_header(tmp_path: Path) -> None:
    files = {
        "libdps/format/a.c": '#include "format/a-internal.h"\n',
        "libdps/format/a.h": "",
        "libdps/format/a-internal.h": '#include "format/a.h"\n',
        "libdps/format/a-more.c": '#include "format/a-internal.h"\n',
        "libdps/format/a-more.h": '#include "format/a.h"\n',
    }
    assert layers.check_tree(make_project(tmp_path, {**GOOD, **files})) == []
    files["libdps/format/a.c"] += '#include "format/a-more.h"\n'
    problems = layers.check_tree(make_project(tmp_path, {**GOOD, **files}))
    assert problems == ["libdps/format/a: a circle: format/a -> format/a-more -> format/a"]


@pytest.mark.parametrize(
    "name", ["libdps/ground/x.c", "x.py", "meson.build", "a.ks", "dev", ".ci/run"]
)
def test_layers_no_licence(tmp_path: Path, name: str) -> None:
    root = make_project(tmp_path, GOOD)
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("#!/bin/sh\n" if "." not in Path(name).name else "\n\n\n" + SPDX)
    if name == ".ci/run":
        (root / name).write_text("#!/bin/sh\n")
    problems = layers.check_tree(root)
    assert len(problems) == 1 and problems[0].startswith(f"{name}: no line")


@pytest.mark.parametrize(
    "name", ["README.md", "x.json", "types.csv", "COPYING", "tests/fuzz/corpus/seed"]
)
def test_layers_needs_no_licence(tmp_path: Path, name: str) -> None:
    root = make_project(tmp_path, GOOD)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(b"\xff\xfe seed" if "seed" in name else b"{}")
    assert layers.check_tree(root) == []


def test_layers_nothing_there(tmp_path: Path) -> None:
    assert "nothing was looked at" in layers.check_tree(tmp_path)[0]


HEADER = SPDX + """
#define DPS_API_LEVEL 1
typedef enum {
	DPS_LEVEL_LOW = 1,  /* DPS_LEVEL_NONE was here */
	DPS_LEVEL_HIGH = 2,
} DpsLevel;
/* DPS_API void dps_not_this(void); */
DPS_API DpsThing *dps_thing_new(const char *name,
				GError **error) G_GNUC_WARN_UNUSED_RESULT;
DPS_API void dps_thing_free(DpsThing *thing);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsThing, dps_thing_free)
"""
MAP = "LIBDPS_0 {\nglobal:\n\tdps_thing_free;\n\tdps_thing_new;\nlocal:\n\t*;\n};\n"
CDEF = """
#define DPS_API_LEVEL ...
typedef enum { /* on lines of their own */
	DPS_LEVEL_LOW = ...,
	DPS_LEVEL_HIGH = ...,
} DpsLevel;
DpsThing *dps_thing_new(const char *name, GError **error);
void dps_thing_free(DpsThing *thing);
"""


def check_symbols(
    tmp_path: Path, header: str, version_map: str, cdef: str, **more: object
) -> list[str]:
    (tmp_path / "include/dps").mkdir(parents=True)
    (tmp_path / "include/dps/thing.h").write_text(header)
    (tmp_path / "lib.map").write_text(version_map)
    (tmp_path / "cdef.h").write_text(cdef)
    paths = tmp_path / "include", tmp_path / "lib.map"
    return symbols.check(*paths, cdef=tmp_path / "cdef.h", **more)  # type: ignore[arg-type]


def test_symbols_good(tmp_path: Path) -> None:
    assert check_symbols(tmp_path, HEADER, MAP, CDEF) == []


NEW = "DPS_API int dps_thing_count(void);\n"


@pytest.mark.parametrize(
    ("header", "version_map", "cdef", "messages"),
    [
        (
            HEADER + NEW,
            MAP,
            CDEF,
            [
                "dps_thing_count: in the headers, not in lib.map",
                "dps_thing_count: in the headers, not in cdef.h",
            ],
        ),
        (
            HEADER,
            MAP.replace("local", "\tdps_x;\nlocal"),
            CDEF,
            ["dps_x: in lib.map, not in the headers"],
        ),
        (HEADER, MAP, CDEF + "void dps_x(void);\n", ["dps_x: in cdef.h, not in the headers"]),
        (
            HEADER,
            MAP.replace("_free", "_*"),
            CDEF,
            ["every symbol by its name", "dps_thing_free: in the"],
        ),
        (HEADER, MAP.replace("local:\n\t*;\n", ""), CDEF, ["stays visible"]),
        (
            HEADER,
            MAP.replace("global:", "global:\n\tdps_thing_new;"),
            CDEF,
            ["order of the", "twice"],
        ),
        (HEADER.replace("DPS_API void", "void"), MAP, CDEF, ["no DPS_API before it"]),
        (
            HEADER,
            MAP,
            CDEF.replace("const char", "char"),
            ["the header has 'DpsThing*dps_thing_new(const"],
        ),
        (
            HEADER,
            MAP,
            CDEF.replace("\tDPS_LEVEL_HIGH = ...,\n", ""),
            ["DPS_LEVEL_HIGH: in the headers, not"],
        ),
        (SPDX, MAP, CDEF, ["no public function"]),
    ],
)
def test_symbols_bad(
    tmp_path: Path, header: str, version_map: str, cdef: str, messages: list[str]
) -> None:
    problems = check_symbols(tmp_path, header, version_map, cdef)
    for message in messages:
        assert any(message in p for p in problems), problems


def test_symbols_to_come(tmp_path: Path) -> None:
    cdef = CDEF.replace("void dps_thing_free(DpsThing *thing);\n", "")
    assert check_symbols(tmp_path, HEADER, MAP, cdef, to_come=["thing"]) == []


def test_symbols_of_a_library(tmp_path: Path) -> None:
    """A real one, by the compiler: what is hidden, missing or too much."""
    source = "int dps_thing_free, dps_stray, helper;\n"  # data is exported like functions
    library = tmp_path / "libthing.so"
    command: list[str | Path] = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library]
    try:
        subprocess.run(command, input=source.encode(), check=True)
    except FileNotFoundError:
        pytest.skip("no cc to make a library with")
    problems = check_symbols(tmp_path, HEADER, MAP, CDEF, library=library)
    assert "dps_thing_new: in the headers, not in libthing.so" in problems
    assert "dps_stray: in libthing.so, not in the headers" in problems
    assert "helper: in libthing.so, not in the headers" in problems


LCOV = """SF:{top}/libdps/target/medium.c
DA:3,7
DA:4,0
DA:5,0
DA:9,0
end_of_record
SF:/usr/include/glib-2.0/glib/garray.h
DA:1,0
end_of_record
SF:{top}/cli/main.c
DA:1,1
DA:2,1
DA:3,1
DA:4,1
end_of_record
"""


def test_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours alone is counted; a writer's lines are named; below the floor it fails."""
    monkeypatch.setattr(coverage, "WRITERS", ["libdps/target/medium.c"])
    files = coverage.parse_lcov(LCOV.format(top=coverage.TOP))
    assert [file.path for file in files] == ["cli/main.c", "libdps/target/medium.c"]
    text, is_enough = coverage.report(files, 62.5)
    assert "libdps/target/medium.c: 4-5, 9" in text and is_enough
    assert text.splitlines()[-1].split() == ["all", "8", "5", "62.5", "%"]
    text, is_enough = coverage.report(files, 62.6)
    assert "less than 62.6 %" in text and not is_enough


def test_coverage_of_nothing() -> None:
    """A writer that was not counted at all is a broken measurement."""
    text, is_enough = coverage.report(coverage.parse_lcov(LCOV.format(top=coverage.TOP)), 0)
    assert "nothing was counted of libdps/decide/apply.c" in text and not is_enough


DEAD_ENDS = """\
	switch (kind) {
	case A:
		return 1;
	case B:
		break;
	}
	g_assert_not_reached();
}

	if (!again())
		return FALSE; /* not reached: it went well a moment ago */
	else
		return TRUE;
"""


@pytest.mark.parametrize(("counts", "left"), [
    ({3: 1, 4: 0, 5: 0, 6: 0, 7: 0, 8: 0, 11: 0, 13: 1}, {3, 13}),
    ({3: 1, 4: 0, 5: 0, 6: 1, 7: 0, 8: 0, 11: 0, 13: 1}, {3, 6, 13}),
    ({3: 0, 4: 2, 5: 2, 6: 2, 7: 2, 8: 0, 11: 4, 13: 0}, {3, 4, 5, 6, 7, 11, 13}),
])
def test_what_nobody_comes_by_on_purpose_is_not_counted(counts, left):
    file = coverage.File("x.c", dict(counts))
    coverage.leave_out_dead_ends(file, DEAD_ENDS)
    assert set(file.lines) == left


HOUSE = """## The floors

**format** reads.

| room | what |
| --- | --- |
| `fat`, `gpt` | reads them |

**cli** shows.

| room | what |
| --- | --- |
| `main` | `gpt` is no room here |

## Limits

| what | limit | why | where |
| --- | --- | --- | --- |
| entries, all | 1024, 2¹⁷ in all | 10 are enough | `gpt: MAX_ENTRIES, MAX_SIZE` |
| links, and seen | 40, 4 MiB | as Linux | `fat: DPS_MAX_LINKS, MAX_SEEN` |
"""
FLOORS = {
    "libdps/format/fat.c": "#define MAX_SEEN ((size_t)4 * 1024 * 1024)\n",
    "libdps/format/fat-internal.h": "#define DPS_MAX_LINKS 40 /* as Linux */\n",
    "libdps/format/gpt.h": "#define MAX_ENTRIES 1024\n#define MAX_SIZE (128 * MAX_ENTRIES)\n",
    "cli/main.c": "#define OTHER 3\n",
}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", ""),
        ("`gpt` |", "`gpt`, `elf` |", "format/elf: is not there"),
        ("`gpt` |", "`gpt`, `fat` |", "format/fat: stands there twice"),
        (", `gpt` |", " |", "format/gpt: docs/architecture.md does not say what it is"),
        ("`main`", "main", "cli/main: docs/architecture.md does not say what it is"),
        ("40, 4", "41, 4", "says [41, 4194304], the code has [40, 4194304]"),
        ("4 MiB", "4 KiB", "says [40, 4096]"),
        ("2¹⁷", "2¹⁶", "says [1024, 65536]"),
        (", MAX_SEEN", "", "format/fat: MAX_SEEN: is no limit of docs"),
        ("MAX_SEEN", "MAX_SAW", "fat has no MAX_SAW"),
        (": DPS_MAX_LINKS, MAX_SEEN", "", "`fat` without the name"),
        (" | as Linux", "", "has four cells"),
    ],
)
def test_rooms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    monkeypatch.setattr(rooms, "NO_LIMITS", set())
    root = make_project(tmp_path, {**FLOORS, "docs/architecture.md": HOUSE.replace(old, new)})
    problems = rooms.check_tree(root)
    assert any(message in problem for problem in problems) if message else problems == []


def test_rooms_of_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out by name has to be there."""
    monkeypatch.setattr(rooms, "NO_LIMITS", {("format", "gpt", "MAX_NOTHING")})
    root = make_project(tmp_path, {**FLOORS, "docs/architecture.md": HOUSE})
    assert rooms.check_tree(root) == [
        "tests/lint/rooms.py: NO_LIMITS: format/gpt has no MAX_NOTHING"
    ]
