"""Leaks as Prometheus metrics: of one process, and summed up over all workers.

python examples/metrics.py    shows what Prometheus reads

cd examples
PROMETHEUS_MULTIPROC_DIR=$(mktemp -d) gunicorn -w 2 metrics:application
"""

import os

from prometheus_client import CollectorRegistry, Counter, make_wsgi_app
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from freedom_middleware import CloseGuard, Mount
from freedom_middleware.ledger import snapshot

NAME, HELP = "wsgi_leaks", "Response bodies that were dropped unclosed"
LABELS = ["mount", "id", "repair", "where"]


class LeakCollector:
    """One process: read the counts when Prometheus asks, and do nothing until then."""

    def collect(self):
        family = CounterMetricFamily(NAME, HELP, labels=LABELS)
        for *labels, times in snapshot():
            family.add_metric(labels, times)
        yield family


leaks = Counter(NAME, HELP, LABELS, registry=None)


def count(leak):
    """Many processes: write each leak down where every worker can read it."""
    *labels, _ = leak
    leaks.labels(*labels).inc()


registry = CollectorRegistry()
if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    MultiProcessCollector(registry)
    on_count = count
else:
    registry.register(LeakCollector())
    on_count = None


# -- a site, and around it a layer that loses close() --


class Body:
    def __iter__(self):
        yield f"{os.getpid()}\n".encode()

    def close(self):
        """Give back what a request holds."""


def site(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body()


def monitor(application):
    def layer(environ, start_response):
        yield from application(environ, start_response)

    return layer


application = CloseGuard(
    Mount(site, {"/shop": site, "/metrics": make_wsgi_app(registry)}), on_count=on_count
)
application = monitor(application)


if __name__ == "__main__":
    from freedom_middleware.testing import exchange

    for path in ("/", "/shop/cart", "/shop/till"):
        exchange(application, path)
    print(exchange(application, "/metrics").body.decode())
