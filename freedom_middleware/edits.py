"""Changes of somebody's file: shown as a diff, and made as a whole or not at all."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import tokenize
from contextlib import suppress
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from .errors import EditError

__all__ = ["Change", "encoding_of", "lines_of"]


@dataclass(frozen=True)
class Change:
    """What one file of Python says, and what it should say.

    Attributes:
        path: The file.
        before: What it holds.
        after: What it is to hold.
    """

    path: Path
    before: bytes
    after: bytes

    def diff(self) -> str:
        """Return the change as a unified diff that ``patch -p1`` and ``git apply`` take."""
        here = Path.cwd()
        inside = self.path.is_relative_to(here)
        name = (self.path.relative_to(here) if inside else self.path).as_posix()
        encoding = encoding_of(self.before)
        old, new = (lines_of(data.decode(encoding)) for data in (self.before, self.after))
        names = (name, name) if name[:1] == "/" else (f"a/{name}", f"b/{name}")
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in unified_diff(old, new, *names)
        )

    def write(self) -> None:
        """Replace the file, at once and with the rights that it has; a link stays a link.

        Raises:
            EditError: It has changed meanwhile, or cannot be written.
        """
        path = Path(os.path.realpath(self.path))
        temporary = None
        try:
            if path.read_bytes() != self.before:
                raise EditError(
                    "file must not change meanwhile, got another text in"
                    f" {str(self.path)!r}; nothing was written, try again"
                )
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with open(descriptor, "wb") as file:
                file.write(self.after)
            shutil.copymode(path, temporary)
            with suppress(OSError):  # only root can give a file away
                status = path.stat()
                os.chown(temporary, status.st_uid, status.st_gid)
            os.replace(temporary, path)
        except BaseException as error:
            if temporary is not None:
                with suppress(OSError):
                    os.unlink(temporary)
            if isinstance(error, OSError):
                raise EditError(
                    f"file must be one that can be written, got {str(self.path)!r}:"
                    f" {error.strerror}; nothing was changed"
                ) from error
            raise


def encoding_of(data: bytes) -> str:
    """Return how a file of Python is text.

    Raises:
        SyntaxError: It names an encoding that is none, or is not in the one it names.

    Source: PEP 263.

    >>> encoding_of(b"# -*- coding: latin-1 -*-"), encoding_of(b"")
    ('iso-8859-1', 'utf-8')
    """
    return tokenize.detect_encoding(io.BytesIO(data).readline)[0]


def lines_of(text: str) -> list[str]:
    r"""Return lines as Python counts them, with their ends; ``str.splitlines`` finds more.

    >>> lines_of("a\fb\r\nc")
    ['a\x0cb\r\n', 'c']
    """
    return list(io.StringIO(text, newline=""))
