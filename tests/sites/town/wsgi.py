"""The one project that every server serves: the site with its admin, and the shop.

The site is at the root and under a prefix.  The whole is served as it is; without the
guard, to see what the guard changes; and inside the two kinds of middleware that the
framework's documentation shows, which are those of ``examples/middleware``.
"""

import gc
import sys
from pathlib import Path

import journal
from django.core.signals import request_finished, request_started

from freedom_middleware import Application, CloseGuard, Mount

site = Application.from_settings("town.settings")
composed = Mount(site, {"/site": site, "/shop": "shop:app"})
guarded = CloseGuard(composed)

# Behind the sites: there is another ``mysite`` beside it.
sys.path.append(str(Path(__file__).parents[3] / "examples" / "middleware"))
from helloworld import HelloWorldApplication, HelloWorldPage  # noqa: E402

application = Mount(
    guarded,
    {
        "/bare": composed,
        "/wrapped": HelloWorldApplication(guarded),
        "/delegated": HelloWorldPage(guarded),
        "/_events": journal.tell,
    },
)

request_started.connect(lambda **_: journal.note("opened"), weak=False)
request_finished.connect(lambda **_: journal.note("closed"), weak=False)

gc.freeze()  # what is here stays: a collection is then a matter of microseconds
