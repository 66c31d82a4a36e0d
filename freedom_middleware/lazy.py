"""An application that is loaded by its first request, once.

Modules are imported without a lock of ours: the import system has one for each, and a
module whose body waits for ours, while we wait for it, would wait for ever.
"""

from __future__ import annotations

import os
import threading
from time import monotonic

from .errors import ApplicationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .wsgi import Body, Environ, StartResponse, WSGIApplication

__all__ = ["Lazy"]

RETRY_SECONDS = 10
"""How long after a failure the next request tries again."""

LOCK_SECONDS = 60.0
"""How long a request waits for another one that is loading."""


class Lazy:
    """Loads on the first request, or by :meth:`load`, and answers 503 while that fails.

    Args:
        name: What to call it in the log.
        prepare: Imports what *resolve* needs; called without a lock.
        resolve: Returns the kind of the application, and the application.

    Attributes:
        kind: ``"lazy"`` until it is loaded.
        wsgi_adapts: The application, None until it is loaded (see
            :mod:`freedom_middleware.tree`).
    """

    def __init__(
        self,
        name: str,
        prepare: Callable[[], object],
        resolve: Callable[[], tuple[str, WSGIApplication]],
    ) -> None:
        self.kind = "lazy"
        self._name = name
        self._prepare = prepare
        self._resolve = resolve
        self.wsgi_adapts: WSGIApplication | None = None
        self._failed_at: float | None = None
        self._logged = ""
        self._loading = False
        self._renew_lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        # A child must not wait for a thread that only its parent has.
        self._lock = threading.RLock()
        self._loading = False

    def __call__(self, environ: Environ, start_response: StartResponse) -> Body:
        """Serve one request (PEP 3333), loading the application first."""
        wsgi = self.wsgi_adapts
        if wsgi is None:
            try:
                wsgi = self._load_or_wait()
            except Exception as error:  # noqa: BLE001 - this mount alone answers 503
                self._log(error)
            if wsgi is None:
                return _unavailable(environ, start_response)
        return wsgi(environ, start_response)

    def load(self) -> WSGIApplication:
        """Load the application now, unless it is loaded, and return it.

        Raises:
            ApplicationError: It asks for itself while it is loaded, or is being loaded by
                another thread that does not end.
            Exception: What loading raises.
        """
        wsgi = self._load(insist=True)
        assert wsgi is not None  # or an exception has left
        return wsgi

    def _load(self, *, insist: bool) -> WSGIApplication | None:
        """Load, if nobody has; None where that failed while it waited, unless to *insist*."""
        if self.wsgi_adapts is None:
            self._prepare()
            lock = self._lock
            waited = not lock.acquire(blocking=False)
            if waited and not lock.acquire(timeout=LOCK_SECONDS):
                raise ApplicationError(
                    f"application must load within {LOCK_SECONDS:g} s, got {self._name!r},"
                    " which another thread has been loading for as long"
                )
            try:
                # Who waited while it failed would try again, one after the other.
                if self.wsgi_adapts is None and (insist or not (waited and self._is_waiting())):
                    self._load_once()
            except BaseException:
                if not insist:
                    self._failed_at = monotonic()  # while those who wait are still waiting
                raise
            finally:
                lock.release()
        return self.wsgi_adapts

    def _load_once(self) -> None:
        if self._loading:
            raise ApplicationError(
                f"application must not ask for itself, got {self._name!r}, which does so"
                " while it is being loaded"
            )
        self._loading = True
        try:
            self.kind, self.wsgi_adapts = self._resolve()
        finally:
            self._loading = False

    def _load_or_wait(self) -> WSGIApplication | None:
        """Load, unless that failed a moment ago: then return None."""
        if self._is_waiting():
            return None
        try:
            return self._load(insist=False)
        except BaseException:
            self._failed_at = monotonic()
            raise

    def _is_waiting(self) -> bool:
        return self._failed_at is not None and monotonic() - self._failed_at < RETRY_SECONDS

    def _log(self, error: Exception) -> None:
        import logging

        text = f"{type(error).__name__}: {error}"
        if text != self._logged:
            self._logged = text
            logging.getLogger("freedom_middleware.lazy").error(
                "%s cannot be loaded and answers 503; it is tried again every %s s",
                self._name,
                RETRY_SECONDS,
                exc_info=error,
            )


def _unavailable(environ: Environ, start_response: StartResponse) -> Body:
    from .response import answer

    retry = "Retry-After", str(RETRY_SECONDS)
    return answer(environ, start_response, "503 Service Unavailable", retry)
