"""``python -m tests.benchmarks [PART ...]``: peers side by side.

``--write`` runs all parts but ``load`` on each Python, and puts them on docs/performance.md.

Needs the extra ``bench``; ``load``, which is run only when it is named, wrk and the extra
``servers`` too.  Nothing is asserted: a machine may be busy; read the ratios.
"""

import platform
import sys

from . import cascade, guard, hosts, load, mount, order, page, path, startup, watch, when

PARTS = {
    "path": path,
    "guard": guard,
    "mount": mount,
    "hosts": hosts,
    "when": when,
    "cascade": cascade,
    "order": order,
    "watch": watch,
    "startup": startup,
    "load": load,
}

if sys.argv[1:] == ["--write"]:
    sys.exit(page.main())
chosen = sys.argv[1:] or [name for name in PARTS if name != "load"]
for unknown in [name for name in chosen if name not in PARTS]:
    sys.exit(f"benchmark must be one of {', '.join(PARTS)}, got {unknown!r}")
for name in chosen:
    print(f"{name}, on {platform.python_implementation()} {platform.python_version()}")
    PARTS[name].main()
