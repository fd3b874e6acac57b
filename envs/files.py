"""Files that people bring, read as streams: in a folder, an archive or a folder inside one, packed by gzip or not."""

from __future__ import annotations

import fnmatch
import gzip
import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_ZIP, _TAR = (".zip", ".whl"), (".tar", ".tar.gz", ".tgz")
_DEPTH = 3
_MANY = 12
_TORN = (gzip.BadGzipFile, zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error)


@dataclass(frozen=True)
class Files:
    """What lies in one place: a folder (down to three folders deep), a .zip, .whl or .tar archive, or beside one file.

    Build one with `at`.

    Attributes:
        place: The folder or archive.
        names: The files in it, relative, those least deep first and then by name; hidden ones are left out.
        only: The file that was named, where it was one file rather than a folder or archive; else empty.
        inside: The folder inside the archive that ``names`` are relative to, with a slash at its end; else empty.
    """

    place: Path
    names: tuple[str, ...]
    only: str = ""
    inside: str = ""

    @classmethod
    def at(cls, path: Path | str, what: str = "the data") -> Files:
        """Looks what lies at ``path``: a folder, an archive, a file, or ``ARCHIVE/FOLDER`` inside an archive.

        Args:
            path: Where to look.
            what: What should be there, for the message when nothing is.

        Raises:
            FileNotFoundError: If there is no such path.
            ValueError: If an archive is torn.
        """
        path = Path(path)
        if path.is_dir():
            return cls(path, _ordered(_walk(path)))
        if path.is_file() and not _is_archive(path):
            beside = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
            return cls(path.parent, _ordered(beside), only=path.name)
        for archive in (path, *path.parents):
            if archive.is_file() and _is_archive(archive):
                prefix = "" if archive == path else f"{path.relative_to(archive).as_posix()}/"
                names = [name.removeprefix(prefix) for name in _members(archive) if name.startswith(prefix)]
                if not names:
                    raise FileNotFoundError(f"{archive} holds no folder {prefix.rstrip('/')!r}; name one that it holds")
                return cls(archive, _ordered(names), inside=prefix)
        raise FileNotFoundError(f"{path} does not exist; give a folder or a .zip archive that holds {what}")

    def find(self, *patterns: str) -> tuple[str, ...]:
        """Returns the files whose last part, without ``.gz``, is like one of ``patterns``, such as ``*.inter``.

        Capitals do not matter.
        """
        wanted = [pattern.lower() for pattern in patterns]
        return tuple(name for name in self.names if any(fnmatch.fnmatchcase(_stem(name), like) for like in wanted))

    def listed(self) -> str:
        """Returns the files' names for a message, the first dozen where there are more."""
        more = f" and {len(self.names) - _MANY} more" if len(self.names) > _MANY else ""
        return (", ".join(self.names[:_MANY]) or "nothing") + more

    def source(self, name: str) -> str:
        """Returns a file's name for messages."""
        return f"{self.place}:{self.inside}{name}" if _is_archive(self.place) else str(self.place / name)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Opens a file for reading, unpacking it on the way.

        Raises:
            ValueError: If an archive or a gzip file turns out torn while it is read; the message says which.
        """
        try:
            if self.place.is_dir():
                with (self.place / name).open("rb") as file, _unpacked(file, name) as stream:
                    yield stream
            elif self.place.name.lower().endswith(_ZIP):
                with (
                    zipfile.ZipFile(self.place) as archive,
                    archive.open(self.inside + name) as plain,
                    _unpacked(plain, name) as stream,
                ):
                    yield stream
            else:
                with tarfile.open(self.place) as tape:
                    full = self.inside + name
                    member = tape.extractfile(full if full in tape.getnames() else f"./{full}")
                    if member is None:
                        raise ValueError(f"{self.source(name)} is not a plain file; pack the file itself")
                    with member, _unpacked(member, name) as stream:
                        yield stream
        except _TORN as problem:
            if name.lower().endswith(".gz"):
                raise ValueError(
                    f"{self.source(name)} is not a sound gzip file ({problem}); download or compress it again"
                ) from None
            raise _torn(self.place, problem) from None
        except RuntimeError as problem:  # What zipfile raises for a password; it may come from a consumer too.
            if "password" not in str(problem):
                raise
            raise ValueError(f"{self.source(name)} is locked by a password; pack it without one") from None

    def lines(self, name: str, encoding: str = "utf-8-sig") -> Iterator[str]:
        """Yields a file's lines, with their ends.

        Raises:
            ValueError: If the file is torn or not in this encoding; the message names the line and the cure.
        """
        try:
            "".encode(encoding)
        except LookupError:
            raise ValueError(f"unknown encoding {encoding!r}; give one such as 'utf-8' or 'latin-1'") from None
        with self.open(name) as stream, io.TextIOWrapper(stream, encoding, newline="") as text:
            try:
                yield from text
            except UnicodeDecodeError as problem:
                raise self._undecodable(name, encoding, problem) from None

    def _undecodable(self, name: str, encoding: str, problem: UnicodeDecodeError) -> ValueError:
        """Returns the error that names the line: the stream's own position is that of a block."""
        shown = "UTF-8" if encoding.startswith("utf-8") else encoding
        where, byte = self.source(name), problem.object[problem.start]
        with self.open(name) as stream:
            for number, line in enumerate(stream, 1):
                try:
                    line.decode(encoding)
                except UnicodeDecodeError as found:
                    where, byte = f"{where}, line {number}", line[found.start]
                    break
        return ValueError(
            f"{where}: not {shown} (byte 0x{byte:02x}); save it as {shown}, for instance with: iconv -f latin1 -t utf-8"
        )


def _stem(name: str) -> str:
    return name.rpartition("/")[2].lower().removesuffix(".gz")


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(_ZIP + _TAR)


def _ordered(names: list[str]) -> tuple[str, ...]:
    shown = [name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))]
    return tuple(sorted(shown, key=lambda name: (name.count("/"), name)))


def _walk(folder: Path) -> list[str]:
    found = []
    for where, folders, names in os.walk(folder):
        inner = Path(where).relative_to(folder)
        if len(inner.parts) >= _DEPTH:
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [(inner / name).as_posix() for name in names]
    return found


def _members(archive: Path) -> list[str]:
    try:
        if archive.name.lower().endswith(_ZIP):
            with zipfile.ZipFile(archive) as packed:
                return [entry.filename for entry in packed.infolist() if not entry.is_dir()]
        with tarfile.open(archive) as packed_tar:
            return [entry.name.removeprefix("./") for entry in packed_tar if entry.isfile()]
    except _TORN as problem:
        raise _torn(archive, problem) from None


def _torn(archive: Path, problem: BaseException) -> ValueError:
    kind = ".zip" if archive.name.lower().endswith(_ZIP) else ".tar"
    return ValueError(f"{archive} is not a sound {kind} archive ({problem}); download or pack it again")


@contextmanager
def _unpacked(stream: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    if not name.lower().endswith(".gz"):
        yield stream
        return
    with gzip.open(stream, "rb") as unpacked:
        yield unpacked  # type: ignore[misc]
