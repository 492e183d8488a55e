"""What the peers need, installed or built into a folder outside the repository; nothing of the system is changed."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
SERVERS = HERE / "peers"
NCHAN = "1:1.3.6+dfsg-2"
"""Debian's package version. nginx itself is whatever matches it in the release: security updates keep the ABI."""

SECONDS = 600.0
"""The longest that one installer may take."""


class Unavailable(Exception):
    """A peer cannot be installed or started here; the message is the reason, in one line."""


def default_cache() -> Path:
    """The folder of this program in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "cidadao-rt-bench"


def run(command: Sequence[str | Path], **options: object) -> str:
    """Run an installer and return its stdout. Raises `Unavailable` with the last line of what it complained of."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            check=True,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            **options,  # type: ignore[call-overload]
        )
    except subprocess.CalledProcessError as error:
        said = [line for line in (error.stderr or error.stdout or "").splitlines() if line.strip()]
        wrong = [line for line in said if "error" in line.lower() or line.startswith("E:")]
        raise Unavailable(f"{command[0]}: {(wrong or said or ['failed'])[-1].strip()}") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]}: not done after {SECONDS:.0f} s") from None
    except OSError as error:
        raise Unavailable(f"{command[0]}: {error.strerror}") from None
    return str(done.stdout)


def program(name: str) -> str:
    """The path of a program of the system. Raises `Unavailable`."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise Unavailable(f"{name} is not installed on this machine")
    return path


@dataclass(frozen=True, slots=True)
class Cache:
    """The folder, and what is found in it. With `install` what is missing is put there, else it is `Unavailable`."""

    folder: Path
    install: bool = True
    _known: dict[str, Path | Unavailable] = field(default_factory=dict)

    def floor(self) -> Path:
        """The C floor, compiled by gcc; its source is ours, so this is done without `install` too."""
        source = HERE / "floor.c"

        def build(folder: Path) -> None:
            run([program("gcc"), "-O2", "-o", folder / "floor", source])

        return self._kept("floor", source.read_bytes(), build, always=True) / "floor"

    def python(self) -> Path:
        """The interpreter of a virtual environment that has the peers of PyPI."""
        wanted = SERVERS / "requirements.txt"

        def build(folder: Path) -> None:
            run([sys.executable, "-m", "venv", folder])
            run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", wanted])

        return self._kept("python", wanted.read_bytes() + sys.version.encode(), build) / "bin" / "python"

    def node(self) -> Path:
        """The `node_modules` with the peers of npm."""
        program("node")
        wanted = SERVERS / "node" / "package-lock.json"

        def build(folder: Path) -> None:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(wanted.with_name(name), folder)
            run([program("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder)

        return self._kept("node", wanted.read_bytes(), build) / "node_modules"

    def nchan(self) -> tuple[str, Path]:
        """nginx, and the folder of the module Nchan: the system's, else unpacked from Debian's packages."""
        module = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
        if module.exists():
            return program("nginx"), module.parent

        def build(folder: Path) -> None:
            try:
                program("nginx")
                packages = [f"libnginx-mod-nchan={NCHAN}"]
            except Unavailable:
                packages = [f"libnginx-mod-nchan={NCHAN}", "nginx"]
            run([program("apt-get"), "download", "--quiet", *packages], cwd=folder)
            for package in folder.glob("*.deb"):
                run([program("dpkg-deb"), "-x", package, folder])

        folder = self._kept("nchan", NCHAN.encode(), build)
        own = folder / "usr" / "sbin" / "nginx"
        return str(own) if own.exists() else program("nginx"), folder / "usr" / "lib" / "nginx" / "modules"

    def _kept(self, name: str, wanted: bytes, build: Callable[[Path], None], *, always: bool = False) -> Path:
        """The folder of one part, named after what is wanted, so that another version is another folder."""
        digest = hashlib.sha256(wanted).hexdigest()[:12]
        folder = self.folder / f"{name}-{digest}"
        known = self._known.get(name)
        if isinstance(known, Unavailable):
            raise known
        if not (folder / ".done").exists():
            try:
                if not (self.install or always):
                    raise Unavailable("not installed; `compare.py setup` does it")
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                build(folder)
            except Unavailable as error:
                self._known[name] = error
                raise
            (folder / ".done").touch()
        self._known[name] = folder
        return folder
