"""Choose among applications: each class is one application with several children."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cascade import Cascade
    from .explaining import explain
    from .hosts import Hosts
    from .methods import Methods
    from .mount import Mount
    from .predicates import Predicate, client, cookie, header, method, path, predicate
    from .when import When
else:
    _MODULES = {
        "Cascade": "cascade",
        "Hosts": "hosts",
        "Methods": "methods",
        "Mount": "mount",
        "When": "when",
        "explain": "explaining",
    }

    def __getattr__(name: str) -> object:
        """Load a dispatcher when it is asked for (PEP 562).

        No module here has the name of something in it, which would take its place.
        """
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        module = import_module(f".{_MODULES.get(name, 'predicates')}", __name__)
        globals()[name] = value = getattr(module, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "Cascade",
    "Hosts",
    "Methods",
    "Mount",
    "Predicate",
    "When",
    "client",
    "cookie",
    "explain",
    "header",
    "method",
    "path",
    "predicate",
]
