"""The site, the shop and a plain application as one.

MYSITE_VARIANT says what is around them:

- ``bare``: nothing;
- ``lossy``: a middleware that loses ``close()``;
- ``guarded``: the same, around CloseGuard;
- ``alone``: CloseGuard, and nothing that loses anything;
- ``watched``: a LeakWatch of every request.
"""

import gc
import os
from pathlib import Path

import journal
from django.core.signals import request_finished, request_started
from elasticapm import Client
from elasticapm.middleware import ElasticAPM

from freedom_middleware import Application, CloseGuard, Mount
from freedom_middleware.leaks import LeakWatch

variant = os.environ["MYSITE_VARIANT"]

site = Application.from_settings("mysite.settings")

served = Mount(
    site,
    {
        "/shop": "shop:app",
        "/größe": "shop:app",
        "/plain": "plain:application",
        "/folder": Application.from_directory(Path(__file__).parent),
        "/uploads": "uploads:application",
    },
)

if variant in ("guarded", "alone"):
    served = CloseGuard(served)

if variant == "watched":
    served = LeakWatch(served, sample=1)

if variant in ("lossy", "guarded"):
    # It captures what is raised, and neither asks nor tells its own server anything.
    client = Client(
        service_name="mysite",
        disable_send=True,
        skip_server_info=True,
        central_config=False,
        metrics_interval="0ms",
    )
    served = ElasticAPM(served, client)

# What the tests see, outside of all that is tested.

request_started.connect(lambda **_: journal.note("opened"), weak=False)
request_finished.connect(lambda **_: journal.note("closed"), weak=False)

gc.freeze()  # what is here stays: a collection is then a matter of microseconds


def application(environ, start_response):
    if environ["PATH_INFO"] != "/_events":
        return served(environ, start_response)
    return journal.tell(environ, start_response)
