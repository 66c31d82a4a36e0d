"""A folder as an application: its files, as they are at the moment of the request.

What HTTP says about ranges, dates and entity tags is left to WebOb.  The path is judged
here, and never repaired: a request that does not spell the way to a file, segment by
segment, gets a 404.
"""

from __future__ import annotations

import errno
import mimetypes
import os
import re
import stat
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from webob import Request, Response
from webob.datetime_utils import parse_date

from .environ import keep_query, path_of, url_path
from .errors import OptionError
from .response import answer

if TYPE_CHECKING:
    from .wsgi import Body, Environ, StartResponse, WSGIApplication

__all__ = ["serve_files"]

CHUNK_BYTES = 65536

_ALLOW = "Allow", "GET, HEAD"

# A pipe must not keep the request waiting until somebody writes to it; Windows has neither.
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)

# There is no such file, or none that can be sent.  Anything else, such as too many open
# files, is the server's own trouble, and no 404.
_NOT_HERE = {
    errno.EACCES,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
}

# What is compressed is sent as it is: with Content-Encoding a browser would unpack it.
_COMPRESSED = {
    "br": "application/x-brotli",
    "bzip2": "application/x-bzip2",
    "compress": "application/x-compress",
    "gzip": "application/gzip",
    "xz": "application/x-xz",
}


def serve_files(
    path: str | os.PathLike[str], *, index: str | None, max_age_seconds: int | None
) -> WSGIApplication:
    """Return an application that serves the files below *path*.

    See :meth:`freedom_middleware.Application.from_directory`.
    """
    root = _folder(path)
    if index is not None and not (isinstance(index, str) and _is_plain(index)):
        raise OptionError(
            "index must be the name of a file, without a folder and without a dot at its"
            f" start, or None, got {index!r}; write 'index.html'"
        )
    if max_age_seconds is not None and not (
        type(max_age_seconds) is int and max_age_seconds >= 0
    ):
        raise OptionError(
            f"max_age_seconds must be a whole number from 0 or None, got {max_age_seconds!r}"
        )

    def files(environ: Environ, start_response: StartResponse) -> Body:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return answer(environ, start_response, "405 Method Not Allowed", _ALLOW)
        path_info = environ.get("PATH_INFO", "")
        name = _name_below(root, path_info)
        if name is None:
            return answer(environ, start_response, "404 Not Found")
        if name.endswith(os.sep):
            file = None if index is None else _open(root, name + index)
            if file is not None and not path_info.endswith("/"):
                file.close()
                return _add_slash(environ, start_response)
            name += index or ""
        else:
            file = _open(root, name)
        if file is None:
            return answer(environ, start_response, "404 Not Found")
        try:
            return _send(file, name, environ, start_response, max_age_seconds)
        except BaseException:
            file.close()
            raise

    return files


def _folder(path: str | os.PathLike[str]) -> str:
    try:
        name = os.fspath(path)
        root = os.path.abspath(name)
        # The name of nothing is a setting that is missing, and not the working directory.
        if isinstance(root, str) and name and Path(root).is_dir():
            return root
    except (TypeError, ValueError):
        pass
    raise OptionError(f"directory must be a folder that exists, got {path!r}")


def _is_plain(segment: str) -> bool:
    """Say whether *segment* names one file that is not hidden: not ``..``, not ``.env``."""
    return bool(segment) and segment[0] != "." and not set(segment) & {"/", "\\"}


def _name_below(root: str, path_info: str) -> str | None:
    """Return the name of the file that *path_info* asks for, None if it can be none.

    It ends with a slash if a folder is there, or is asked for.
    """
    segments = path_info.removeprefix("/").split("/")
    if not segments[-1]:
        segments.pop()
    if not all(map(_is_plain, segments)):
        return None
    try:
        # The bytes that came, as the system's own calls take them.
        segments = [os.fsdecode(segment.encode("latin-1")) for segment in segments]
    except UnicodeError:
        return None
    name = os.path.join(root, *segments)
    return os.path.join(name, "") if path_info[-1:] == "/" or os.path.isdir(name) else name


def _open(root: str, name: str) -> BinaryIO | None:
    """Open a regular file that is inside of *root* when all links are followed."""
    try:
        inside = os.path.join(os.path.realpath(root), "")
        # Strict: what is not there is found out at its first segment, of however many.
        real = os.path.realpath(name, strict=True)
        if not real.startswith(inside):
            return None
        file = open(real, "rb", opener=_opener)  # noqa: SIM115 - the body closes it
    except ValueError:  # a NUL
        return None
    except OSError as error:
        if error.errno in _NOT_HERE:
            return None
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        return None
    return file


def _opener(name: str, flags: int) -> int:
    return os.open(name, flags | _FLAGS)


def _send(
    file: BinaryIO,
    name: str,
    environ: Environ,
    start_response: StartResponse,
    max_age_seconds: int | None,
) -> Body:
    status = os.fstat(file.fileno())  # of what is open, whatever is at that name by now
    size = status.st_size
    modified = formatdate(status.st_mtime, usegmt=True)
    etag = f'"{status.st_mtime_ns:x}-{size:x}"'
    headers = [
        ("Content-Type", _type_of(name)),
        ("Content-Length", str(size)),
        ("Last-Modified", modified),
        ("ETag", etag),
        ("Accept-Ranges", "bytes"),
    ]
    if max_age_seconds is not None:
        headers.append(("Cache-Control", f"max-age={max_age_seconds}"))
    asked: Environ = {key: environ[key] for key in _ASKED if key in environ}
    for key in ("HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_MODIFIED_SINCE"):
        try:
            parse_date(asked.get(key))
        except (ValueError, OverflowError):  # a year that no calendar has
            del asked[key]
    if _is_another(Request(asked), etag, int(status.st_mtime)):
        file.close()
        return answer(environ, start_response, "412 Precondition Failed")
    if asked.get("HTTP_IF_NONE_MATCH") == "*":
        asked["HTTP_IF_NONE_MATCH"] = etag  # WebOb takes "*" for a header that is not there
    is_same = environ.get("HTTP_IF_RANGE", etag) in (etag, modified)
    if is_same and environ["REQUEST_METHOD"] == "GET":  # for HEAD there are no ranges
        span = _range_in(environ.get("HTTP_RANGE", ""), size)
        if span is not None:
            asked["HTTP_RANGE"] = span
    whole: Any = _Whole(file)
    response = Response(headerlist=headers, app_iter=whole)
    body: Body = response.conditional_response_app(asked, start_response)
    if body is not whole:
        return body
    file_wrapper = environ.get("wsgi.file_wrapper")
    # A log may grow while it is sent, but not beyond its Content-Length.
    return _Range(file, 0, size) if file_wrapper is None else file_wrapper(file, CHUNK_BYTES)


_ASKED = (
    "REQUEST_METHOD",
    "HTTP_IF_MATCH",
    "HTTP_IF_UNMODIFIED_SINCE",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
)


def _is_another(request: Request, etag: str, modified: int) -> bool:
    """Say whether the client wants a file that is not, or no longer, this one.

    Source: RFC 9110, sections 13.1.1, 13.1.4 and 13.2.2.
    """
    if "HTTP_IF_MATCH" in request.environ:
        return etag.strip('"') not in request.if_match
    since = request.if_unmodified_since
    return since is not None and since.timestamp() < modified


# No file has a length of more digits.
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})|bytes=-(\d{1,18})", re.ASCII)


def _range_in(header: str, size: int) -> str | None:
    """Return the one range that *header* asks for, spelt out; None if it is to be ignored.

    WebOb answers ``bytes=-`` with an exception, sends the first of several ranges only, and
    refuses the last 99 bytes of a file that has 10.

    Source: RFC 9110, sections 14.1.2 and 14.2: a server may ignore what it does not serve.
    """
    found = _RANGE.fullmatch(header)
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is None:
        return f"bytes={first}-{last}"
    return f"bytes={max(0, size - int(suffix))}-"


def _type_of(name: str) -> str:
    media_type, encoding = mimetypes.guess_type(name)
    if encoding is not None:
        return _COMPRESSED.get(encoding, "application/octet-stream")
    if media_type is not None and media_type.startswith("text/"):
        return f"{media_type}; charset=utf-8"
    return media_type or "application/octet-stream"


class _Whole:
    """Stands for the open file while WebOb decides what of it is to be sent."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.close = file.close

    def app_iter_range(self, start: int, stop: int) -> _Range:
        """Return the body of a response to a range; WebOb asks for it by this name."""
        return _Range(self._file, start, stop)


class _Range:
    """The bytes of a file from *start* up to *stop*, not included."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        file.seek(start)
        self._file = file
        self._left = stop - start
        self.close = file.close

    def __iter__(self) -> _Range:
        return self

    def __next__(self) -> bytes:
        chunk = self._file.read(min(self._left, CHUNK_BYTES))
        if not chunk:
            raise StopIteration
        self._left -= len(chunk)
        return chunk


def _add_slash(environ: Environ, start_response: StartResponse) -> Body:
    """Answer 308 to the same URL with a slash, so that the page's relative links are right."""
    location = keep_query(url_path(path_of(environ) + "/"), environ)
    headers = [("Location", location), ("Content-Type", "text/plain"), ("Content-Length", "0")]
    start_response("308 Permanent Redirect", headers)
    return []
