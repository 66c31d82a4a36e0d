"""Ask several applications in turn."""

from __future__ import annotations

from collections.abc import Sequence

from ..environ import is_token
from ..errors import OptionError, TableError, TableTypeError
from ..response import answer, close_with, hold, is_inert, with_headers
from .replay import Recording, length_of
from .table import MOUNTED, Series, adapt, as_dispatcher, check_passing, hand_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from typing import Any

    from ..application import Application, Target
    from ..response import Headers
    from ..tree import Choice
    from ..wsgi import Body, Environ, StartResponse, WSGIApplication
    from .shapes import CascadedApplications

    # The caller's environ, the one to be copied, whether no cascade with this marker is
    # around, what was read of the request body, who is left to be asked, and the last.
    _Request = tuple[
        Environ,
        Environ,
        bool,
        Recording | None,
        Iterator[WSGIApplication],
        WSGIApplication,
    ]

__all__ = ["LIMIT_BYTES", "Cascade"]

LIMIT_BYTES = 100 * 1024 * 1024
"""How much of a request body is recorded, unless *limit* says otherwise."""

REMOVED = "freedom_middleware.removed."
"""Begins the environ key that tells a cascade which header one around it will remove."""


def Cascade(  # noqa: N802 - reads as the application that it makes
    applications: Sequence[Target],
    *,
    on: Collection[int] = frozenset({404, 405}),
    limit: int = LIMIT_BYTES,
    marker: str | None = None,
    back: Collection[str] = (),
    share: bool = False,
) -> CascadedApplications:
    """Ask *applications* in turn, until one answers with a status that is not in *on*.

    The answer of the last one stands, whatever it is: it may well be a 404, or a 405 whose
    Allow says nothing of the others.  An answer that is passed over is closed and not read on.
    An exception is no answer: it reaches the server, and nobody else is asked.

    What an application reads of the request body is recorded as it is read, and the next one
    reads it again from the start.  Nothing is recorded for the last one, nor once an answer
    has been chosen.

    Touches:
        environ: each application gets a copy as it was when the cascade was called.  Its
            ``wsgi.input`` can be read and not sought in.  What the chosen one changes there
            stays there, except for ``freedom_middleware.mounted`` and the keys in *back*.
        start_response: the last application's is the server's own.  Another's status is
            known at the first chunk that is not empty, at the first ``write()``, or at the
            end; one that is not in *on* is passed on before, when the application returns.
            If that is taken back for one that is, the next application is asked, and its
            start goes to the server with the ``exc_info`` that came with it.
        body: the last application's, an exact ``list`` or ``tuple``, and what the server's
            ``wsgi.file_wrapper`` made are passed on as they are.  Another one is wrapped, and
            read up to its first chunk if no status was passed on before; so is one of an
            application that has yet to read what was recorded.

    Args:
        applications: At least one, in any form that
            :class:`~freedom_middleware.Application` takes.
        on: The status codes that pass a request on, from 400 to 599.
        limit: How many bytes of a request body are recorded.  If an application reads more,
            it may still answer; if it passes the request on, the answer is 413.  Beyond
            1 MiB they are in a temporary file.
        marker: The name of a header.  Then an application passes a request on only
            with a status in *on* and this header as ``pass``: Rails calls its own
            ``X-Cascade``.  It is removed from what is sent.
        back: Environ keys that are handed back to the caller when the chosen application
            has returned.
        share: True gives the applications the caller's own environ.  When a request is
            passed on, it is put back as it was.

    Returns:
        The application, with its children as the attribute ``applications``.

    Raises:
        TableError: There is no application.
        TableTypeError: *applications* is no sequence.
        OptionError: Another option cannot be understood.
        ApplicationError, ApplicationTypeError: A child is not an application.

    Source: PEP 3333, "The start_response() Callable" and "Middleware Handling of Block
    Boundaries"; RFC 9110, 15.5.5, 15.5.6 and 15.5.14.

    >>> from freedom_middleware import Mount
    >>> from freedom_middleware.testing import exchange, hello
    >>> site = Cascade([Mount(None, {"/old": hello}), Mount(None, {"/new": hello})])
    >>> exchange(site, "/old").code, exchange(site, "/new").code, exchange(site, "/").code
    (200, 200, 404)
    """
    keys = check_passing("Cascade", back, share)
    codes = _check_codes(on)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise OptionError(f"Cascade's limit must be a number of bytes, got {limit!r}")
    marker = _check_marker(marker)
    removed = f"{REMOVED}{marker}"
    children = _read(applications)
    calls = _compile(children)

    def refuse(status: str, headers: Headers) -> bool:
        return status[:3] in codes and (marker is None or _is_marked(headers, marker))

    def unmarked(headers: Headers) -> Headers:
        return [(name, value) for name, value in headers if name.lower() != marker]

    def dispatch(environ: Environ, start_response: StartResponse) -> Body:
        earlier, last = calls
        given, outermost = environ, False
        if share or marker is not None:
            given = environ.copy()
        if marker is not None and removed not in environ:
            outermost = given[removed] = True
            start_response = with_headers(start_response, unmarked)
        recording = None
        if length := length_of(environ):
            recording = Recording(environ["wsgi.input"], length, limit)
        return ask(start_response, (environ, given, outermost, recording, iter(earlier), last))

    def ask(start_response: StartResponse, request: _Request) -> Body:
        """Ask those who are left, and return the answer of the first that does not pass."""
        environ, given, outermost, recording, left, last = request
        try:
            for application in left:
                child = _restored(environ, given) if share else given.copy()
                if recording is not None:
                    recording.rewind(child)
                body = hold(
                    application, child, start_response, refuse, recording, others, request
                )
                if body is not None:
                    break
                if recording is not None and not recording.can_rewind():
                    return answer(given, start_response, "413 Content Too Large")
            else:
                child = _restored(environ, given) if share else given.copy()
                if recording is not None:
                    recording.rewind_last(child)
                body = last(child, start_response)
        except BaseException:
            if recording is not None:
                recording.close()
            if not share:
                hand_back(environ, child, (MOUNTED, *keys))
            raise
        finally:
            if outermost and share:
                environ.pop(removed, None)
        if recording is not None and not recording.is_done():
            if is_inert(body, given.get("wsgi.file_wrapper")):
                recording.close()
            else:
                body = close_with(body, recording)
        if not share:
            if MOUNTED in child:
                environ[MOUNTED] = child[MOUNTED]
            if keys:
                hand_back(environ, child, keys)
        try:
            return body
        finally:
            del body  # as in CloseGuard: a traceback may keep this frame

    def others(request: _Request) -> Callable[[StartResponse], Body]:
        """Return what asks those who are left, if an answer that was passed on is taken back.

        By then others may have changed the caller's environ, or put it back as it was.
        """
        environ, given, outermost, recording, left, last = request
        if given is environ:
            given = environ.copy()
            request = environ, given, outermost, recording, left, last

        def ask_others(start_response: StartResponse) -> Body:
            if recording is not None and not recording.can_rewind():
                return answer(given, start_response, "413 Content Too Large")
            return ask(start_response, request)

        return ask_others

    def publish(children: list[Application]) -> None:
        nonlocal calls
        calls = _compile(children)

    series = Series(children, read=_read, publish=publish)

    def rows() -> list[Application]:
        return [*series]

    def name_children() -> Iterator[tuple[str, WSGIApplication]]:
        return ((str(number), child) for number, child in enumerate(rows(), 1))

    def choices(environ: Environ) -> list[Choice]:
        return _explain(environ, rows(), sorted(codes), marker)

    made: CascadedApplications = as_dispatcher(
        "Cascade", dispatch, name_children, choices, applications=series
    )
    return made


def _compile(
    rows: list[Application],
) -> tuple[tuple[WSGIApplication, ...], WSGIApplication]:
    """Return the callables of all but the last, and the last's."""
    if not rows:
        raise TableError(
            "Cascade must have an application, got none; the last one's answer stands"
        )
    *earlier, last = [row.wsgi for row in rows]
    return tuple(earlier), last


def _restored(environ: Environ, given: Environ) -> Environ:
    environ.clear()
    environ.update(given)
    return environ


def _is_marked(headers: Headers, marker: str) -> bool:
    return any(name.lower() == marker and value.lower() == "pass" for name, value in headers)


def _explain(
    environ: Environ, rows: list[Application], codes: list[str], marker: str | None
) -> list[Choice]:
    from ..tree import Choice

    if len(codes) > 1:
        codes[-2:] = [f"{codes[-2]} or {codes[-1]}"]
    passes = f"passes on if it answers {', '.join(codes)}"
    if marker is not None:
        passes += f" with {marker}: pass"
    reasons = [f"tried {_ordinal(number)}: {passes}" for number in range(1, len(rows))]
    reasons.append("last: its answer stands")
    return [
        Choice(str(number), row, environ.copy(), reason)
        for number, (row, reason) in enumerate(zip(rows, reasons, strict=True), 1)
    ]


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 10 < number % 100 < 14 else ending}"


def _read(applications: Iterable[Any]) -> list[Application]:
    if not isinstance(applications, Sequence) or isinstance(applications, str):
        raise TableTypeError(
            f"Cascade's applications must be a list, got {applications!r};"
            " write Cascade([first, second])"
        )
    return [adapt("Cascade", target) for target in applications]


def _check_codes(on: Collection[int]) -> frozenset[str]:
    if not isinstance(on, (set, frozenset, list, tuple)) or not on:
        raise OptionError(
            f"Cascade's on must be a set of status codes, got {on!r}; write {{404, 405}}"
        )
    for code in on:
        if not isinstance(code, int) or not 400 <= code <= 599:
            raise OptionError(
                f"Cascade's on must hold status codes from 400 to 599, got {code!r}"
            )
    return frozenset(str(code) for code in on)


def _check_marker(marker: str | None) -> str | None:
    if marker is None:
        return None
    if not isinstance(marker, str) or not is_token(marker):
        raise OptionError(
            f"Cascade's marker must be the name of a header, got {marker!r}; write 'X-Cascade'"
        )
    return marker.lower()
