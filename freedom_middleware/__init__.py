"""Put WSGI applications together, and know that every response is closed."""

from __future__ import annotations

from .application import Application
from .dispatch.mount import Mount
from .guard import CloseGuard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .dispatch.cascade import Cascade
    from .dispatch.explaining import explain
    from .dispatch.hosts import Hosts
    from .dispatch.when import When
else:

    def __getattr__(name: str) -> object:
        """Load what fewer people use when it is asked for (PEP 562): a start is not kept up."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import dispatch

        globals()[name] = value = getattr(dispatch, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "Application",
    "Cascade",
    "CloseGuard",
    "Hosts",
    "Mount",
    "When",
    "explain",
]
