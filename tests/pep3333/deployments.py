"""The servers that serve the probes: the deployments of ``tests/servers``, and two more."""

from contextlib import contextmanager
from dataclasses import replace

from ..servers.deployments import DEPLOYMENTS
from ..servers.harness import Server, running

LEFT_OUT = ("uWSGI behind nginx", "uWSGI, FastCGI behind nginx")
"""The same server once more; what is in front of it is nginx, which is no WSGI server."""

DISTRIBUTIONS = {
    "uWSGI": "uWSGI",
    "FastCGI behind nginx": "flipflop",
    "mod_wsgi, daemon": "mod_wsgi",
    "mod_wsgi, embedded": "mod_wsgi",
    "runserver": "Django",
    "gevent.pywsgi": "gevent",
    "wsgiref": "Python",
}
"""What is served by what; for the others the first word is the distribution."""


def serves_probes(deployment):
    """Return *deployment* with the probes in the place of the town."""
    files = {
        # What nginx keeps back is not the WSGI server's doing.
        name: text.replace("town", "probe").replace(
            "fastcgi_pass", "fastcgi_buffering off;\n        fastcgi_pass"
        )
        for name, text in deployment.files.items()
    }
    return replace(
        deployment,
        command=deployment.command.replace("town", "probe"),
        files=files,
        ready="/called",
    )


def in_python(name, statements):
    return Server(
        name,
        f"python -c 'from probe.wsgi import application; {statements}'",
        announces=False,
        ready="/called",
    )


SERVERS = [
    *(serves_probes(one) for one in DEPLOYMENTS if one.name not in LEFT_OUT),
    in_python(
        "gevent.pywsgi",
        "from gevent.pywsgi import WSGIServer;"
        ' WSGIServer(("127.0.0.1", {port}), application).serve_forever()',
    ),
    in_python(
        "wsgiref",
        "from wsgiref.simple_server import make_server;"
        ' make_server("127.0.0.1", {port}, application).serve_forever()',
    ),
]


def distribution_of(server):
    return DISTRIBUTIONS.get(server.name, server.name.partition(" ")[0])


@contextmanager
def serving(server, folder):
    """Serve the probes in *folder*."""
    with running(server, folder, TOWN_FOLDER=str(folder)) as site:
        yield site
