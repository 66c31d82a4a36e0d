"""The promise "Named": which layer loses, repeats or misplaces ``close()``."""

from __future__ import annotations

from .checking import Report, check
from .watch import LeakWatch

__all__ = ["LeakWatch", "Report", "check"]
