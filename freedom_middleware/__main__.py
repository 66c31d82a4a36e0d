"""``python -m freedom_middleware`` is ``freedom-middleware``."""

import sys

from .cli import main

sys.exit(main())
