"""Choose among applications: each class is one application with several children."""

from __future__ import annotations

from .cascade import Cascade
from .explain import explain
from .hosts import Hosts
from .methods import Methods
from .mount import Mount
from .predicates import Predicate, client, cookie, header, method, path, predicate
from .when import When

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
