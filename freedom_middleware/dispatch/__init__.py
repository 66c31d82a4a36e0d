"""Choose among applications: each class is one application with several children."""

from __future__ import annotations

from .explain import explain
from .mount import Mount

__all__ = ["Mount", "explain"]
