"""The vocabulary of PEP 3333, as types.

Only names: nothing here runs on a request.  ``StartResponse`` and the rest are the
protocol types that CPython itself ships (``wsgiref.types``, 3.11), under the words
that this package uses.

Source: PEP 3333, "Specification Overview".
"""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import (
    InputStream,
    StartResponse,
    WSGIApplication,
)
from wsgiref.types import (
    WSGIEnvironment as Environ,
)

__all__ = ["Body", "Environ", "InputStream", "StartResponse", "WSGIApplication"]

Body = Iterable[bytes]
"""What an application returns: it is the body, not its iterator, that is closed."""
