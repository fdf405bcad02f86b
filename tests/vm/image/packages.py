# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian packages through an apt configuration of our own.

The host's package lists, its release and its architecture play no part: every archive has its own
state directory in the cache, and an empty dpkg status, so that apt names the whole set of packages
that something needs.  Packages are downloaded and unpacked, never installed.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from . import cache

KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LIST_MAX_AGE = 24 * 3600  # seconds; kernels of the security archive vanish when they are replaced

# What only a person would read: half of the bytes, none of what boots.
NOT_UNPACKED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")


def find_mirrors() -> tuple[str, str]:
    """Where packages and their security updates come from: where the host's apt has them from."""
    mirror = os.environ.get("LIBDPS_MIRROR")
    if mirror:
        return f"{mirror}/debian", f"{mirror}/debian-security"
    try:
        text = cache.run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    except (cache.CommandFailed, OSError) as error:
        raise Unavailable(f"apt does not say where it has packages from: {error}")
    addresses = list(dict.fromkeys(text.split()))
    security = [address for address in addresses if "security" in address]
    plain = [address for address in addresses if "security" not in address]
    if not plain:
        raise Unavailable("apt has no package lists: run apt-get update, or set LIBDPS_MIRROR")
    return plain[0], (security or [plain[0].rstrip("/") + "-security"])[0]


class Unavailable(Exception):
    """A download that cannot be had here: a test that needs it is skipped with this reason."""


@dataclasses.dataclass(frozen=True)
class Package:
    name: str
    file_name: str
    sha256: str

    @property
    def path(self) -> pathlib.Path:
        return cache.directory("packages") / f"{self.sha256}.deb"


class Archive:
    """One release of Debian for one architecture; "bookworm+bookworm-backports": the second before the
    first."""

    def __init__(self, suite: str, architecture: str):
        self.suite = suite
        self.architecture = architecture
        self.state = cache.directory("apt", f"{suite}-{architecture}")

    @property
    def triplet(self) -> str:
        return {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[self.architecture]

    def _apt(self, tool: str, *words: str, **options) -> str:
        settings = {
            "APT::Default-Release": self.suite.split("+")[-1] if "+" in self.suite else "",
            "Dir::State": self.state,
            "Dir::State::lists": self.state / "lists",
            "Dir::State::status": self.state / "status",
            "Dir::Cache": self.state / "cache",
            "Dir::Etc::sourcelist": self.state / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "Acquire::Retries": "2",
        }
        flags = [f"-o{name}={value}" for name, value in settings.items()]
        return cache.run(tool, *flags, *words, **options)

    def refresh(self) -> None:
        """Fetches the package lists when they are a day old; an old list is better than none."""
        stamp = self.state / "updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < LIST_MAX_AGE:
            return
        if not KEYRING.exists():
            raise Unavailable(f"{KEYRING}: not there: install debian-archive-keyring")

        mirror, security = find_mirrors()
        lines = [f"deb [signed-by={KEYRING}] {mirror} {suite} main" for suite in self.suite.split("+")]
        if self.suite != "sid":
            lines.append(f"deb [signed-by={KEYRING}] {security} {self.suite.split('+')[0]}-security main")
        (self.state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (self.state / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        (self.state / "status").touch()
        try:
            self._update(lines)
        except (cache.CommandFailed, subprocess.TimeoutExpired) as error:
            if stamp.exists():
                return
            # Mirrors of security updates for small architectures are out of step for hours.
            try:
                self._update([line for line in lines if "-security main" not in line])
            except (cache.CommandFailed, subprocess.TimeoutExpired):
                raise Unavailable(f"package lists of {self.suite} {self.architecture}: {error}")
        stamp.touch()

    def _update(self, lines: list[str]) -> None:
        (self.state / "sources.list").write_text("\n".join(lines) + "\n")
        self._apt("apt-get", "-qq", "-oAPT::Update::Error-Mode=any", "update", timeout=300)

    def depends(self, name: str) -> list[str]:
        """What a package depends on directly: finds the kernel behind its metapackage."""
        text = self._apt("apt-cache", "show", "--no-all-versions", name)
        line = re.search(r"^Depends: (.*)$", text, re.MULTILINE)
        return [re.split(r"[ (|]", word.strip())[0] for word in line[1].split(",")] if line else []

    def kernel(self) -> str:
        """The package of the kernel for virtual machines: NVMe, virtio and ext4 are built in."""
        meta = f"linux-image-cloud-{self.architecture}"
        return next(name for name in self.depends(meta) if name.startswith("linux-image-"))

    def closure(self, *names: str) -> list[str]:
        """The packages named and all that they need."""
        text = self._apt(
            "apt-get", "-qq", "-y", "--no-install-recommends", "--print-uris", "install", *names
        )
        return [line.split()[1].split("_")[0] for line in text.splitlines() if line.startswith("'")]

    def resolve(self, names) -> list[Package]:
        """Which files these packages are today."""
        text = self._apt("apt-get", "-qq", "--print-uris", "download", *sorted(set(names)))
        packages = []
        for line in text.splitlines():
            match = re.match(r"'(\S+)' (\S+) (\d+) SHA256:([0-9a-f]{64})", line)
            if match:
                packages.append(Package(match[2].split("_")[0], match[2], match[4]))
        missing = set(names) - {package.name for package in packages}
        if missing:
            raise Unavailable(f"{self.suite} {self.architecture}: no package {sorted(missing)}")
        return packages

    def download(self, packages: list[Package]) -> None:
        """Puts what is not there yet into the cache; apt checks it against the signed lists."""
        absent = [package for package in packages if not package.path.exists()]
        if not absent:
            return
        place = cache.directory("packages")
        with tempfile.TemporaryDirectory(dir=place, prefix=".new-") as scratch:
            try:
                self._apt(
                    "apt-get",
                    "-qq",
                    "download",
                    *(package.name for package in absent),
                    cwd=scratch,
                    timeout=900,
                )
            except (cache.CommandFailed, subprocess.TimeoutExpired) as error:
                raise Unavailable(f"{self.suite} {self.architecture}: {error}")
            for package in absent:
                # Its own time is that of its upload: what counts is when it was wanted.
                os.utime(pathlib.Path(scratch, package.file_name))
                pathlib.Path(scratch, package.file_name).rename(package.path)

    def tree(self, names: list[str]) -> pathlib.Path:
        """A directory with these packages unpacked, /usr merged, for reading only."""
        packages = self.resolve(names)
        inputs = {
            "packages": sorted(package.sha256 for package in packages),
            "pruned": NOT_UNPACKED,
            "usr": "merged",
        }

        def unpack(path: pathlib.Path) -> None:
            self.download(packages)
            merge_usr(path)
            for package in packages:
                _unpack(package.path, path)
            for name in NOT_UNPACKED:
                shutil.rmtree(path / name, ignore_errors=True)

        return cache.make_once("trees", inputs, unpack)


def _unpack(package: pathlib.Path, path: pathlib.Path) -> None:
    """Like dpkg-deb --extract, but /lib of the package goes into what /lib links to."""
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE
    ) as archive_file:
        subprocess.run(
            ["tar", "--extract", "--preserve-permissions", "--keep-directory-symlink"],
            stdin=archive_file.stdout,
            cwd=path,
            check=True,
        )
    if archive_file.returncode != 0:
        raise RuntimeError(f"{package}: dpkg-deb: exit {archive_file.returncode}")


def merge_usr(path: pathlib.Path) -> None:
    """The directories of an empty root, with /bin and its kin as links into /usr."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (path / "usr" / name).mkdir(parents=True)
        (path / name).symlink_to(f"usr/{name}")


def archive(suite: str, architecture: str) -> Archive:
    """An archive whose lists are there and not too old."""
    with cache.lock(f"apt-{suite}-{architecture}"):
        result = Archive(suite, architecture)
        result.refresh()
    return result
