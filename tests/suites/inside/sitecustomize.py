"""Wraps what test clients and servers call, in this process, if ``TRANSPARENCY`` is set.

Python imports this by itself when it starts, so the processes that a test starts are wrapped
as well: its development servers, its workers.
"""

import os

if os.environ.get("TRANSPARENCY"):
    from transparency import start

    start()
