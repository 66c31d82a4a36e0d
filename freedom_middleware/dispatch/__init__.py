"""Choose among applications: each class is one application with several children."""

from __future__ import annotations

from .cascade import Cascade
from .methods import Methods
from .mount import Mount

__all__ = ["Cascade", "Methods", "Mount"]
