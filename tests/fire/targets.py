"""The servers under fire, and what each of them is able to do."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace

from ..servers.deployments import MOD_WSGI, UWSGI, apache_for
from ..servers.harness import Server


@dataclass(frozen=True)
class Target:
    """A server, and which of the mishaps it can have.

    Attributes:
        server: How it is started.
        workers: Whether others take over when a process of it is killed.
        reload: The signal for which it replaces its workers and lets them end their work.
        recycles: Whether a worker is replaced after a number of requests.
        preloads: Whether the application is loaded before the process forks.
        seconds: How long it is left alone after each mishap.
        age_seconds: How old a worker has to be to meet one.
    """

    server: Server
    workers: bool = False
    reload: signal.Signals | None = None
    recycles: bool = False
    preloads: bool = False
    seconds: float = 1.5
    age_seconds: float = 0.0


def gunicorn(kind: str) -> Target:
    server = Server(
        f"gunicorn {kind}",
        f"gunicorn --preload -w 2 -k {kind} --threads {4 if kind == 'gthread' else 1}"
        " --max-requests 150 --max-requests-jitter 50 -b 127.0.0.1:{port} under_fire",
        ready="/ready",
    )
    return Target(server, workers=True, reload=signal.SIGHUP, recycles=True, preloads=True)


# One process each, without workers that could be killed, replaced or forked.
WAITRESS = Target(
    Server(
        "waitress",
        "waitress-serve --threads=4 --listen=127.0.0.1:{port} under_fire:application",
        ready="/ready",
    )
)
CHEROOT = Target(
    Server(
        "cheroot",
        "cheroot --threads 4 --bind 127.0.0.1:{port} under_fire:application",
        announces=False,
        ready="/ready",
    )
)

# It replaces a worker by its age, 60 seconds at the least; each loads the application.  When
# one is killed that is less than 5.5 seconds old, or that a reload is about to replace, all
# end.
GRANIAN = Target(
    Server(
        "granian",
        "granian --interface wsgi --host 127.0.0.1 --port {port} --workers 2"
        " --blocking-threads 4 --respawn-failed-workers under_fire:application",
        announces=False,
        ready="/ready",
    ),
    workers=True,
    reload=signal.SIGHUP,
    seconds=3.0,
    age_seconds=6.0,
)

# A reload executes it anew: given port 0 it would then listen at another one.  No worker is
# too young for --max-requests.
UWSGI_TARGET = Target(
    replace(
        UWSGI,
        announces=False,
        command="uwsgi --http-socket 127.0.0.1:{port} --master --die-on-term --enable-threads"
        " --processes 2 --threads 4 --max-requests 150 --min-worker-lifetime 1 --need-app"
        " --module under_fire",
        ready="/ready",
    ),
    workers=True,
    reload=signal.SIGHUP,
    recycles=True,
    preloads=True,
)

# Apache forks the daemons; the application is loaded by each of them.
MOD_WSGI_TARGET = Target(
    replace(
        MOD_WSGI,
        files=apache_for(
            "/etc/apache2/sites-available/mysite.conf",
            {
                "/srv/mysite/mysite/wsgi.py": "{sites}/under_fire.py",
                "/srv/mysite/mysite": "{sites}",
                "/srv/mysite": "{path}",
                "Files wsgi.py": "Files under_fire.py",
                "processes=2 threads=15": "processes=2 threads=4 maximum-requests=150",
            },
        ),
        ready="/ready",
    ),
    workers=True,
    reload=signal.SIGUSR1,
    recycles=True,
)

TARGETS = {
    target.server.name: target
    for target in (
        gunicorn("sync"),
        gunicorn("gthread"),
        gunicorn("gevent"),
        UWSGI_TARGET,
        WAITRESS,
        GRANIAN,
        CHEROOT,
        MOD_WSGI_TARGET,
    )
}
