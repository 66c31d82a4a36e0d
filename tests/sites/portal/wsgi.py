"""Six frameworks under prefixes of one site; that is below PORTAL_UNDER, if there is one."""

import os
from pathlib import Path

import django.contrib.admin

from freedom_middleware import Application, CloseGuard, Mount
from freedom_middleware.cookies import collisions

from . import frameworks

site = Application.from_settings("portal.settings")

from django.contrib.auth.models import User  # noqa: E402 - needs the settings
from django.core.management import call_command  # noqa: E402

call_command("migrate", verbosity=0)
if not User.objects.exists():
    User.objects.create_superuser("ann", password="ann's password")

composed = Mount(
    None,
    {
        "/portal": site,
        "/portal/static": Application.from_directory(
            Path(django.contrib.admin.__file__).parent / "static"
        ),
        "/shop": frameworks.flask("shop"),
        "/blog": frameworks.flask("blog"),
        "/news": frameworks.flask("news", SESSION_COOKIE_NAME="news_session"),
        "/pyramid": frameworks.pyramid(),
        "/bottle": frameworks.bottle(),
        "/falcon": frameworks.falcon(),
        "/api": frameworks.fastapi(),
        "/files": Application.from_directory(Path(__file__).parent / "assets"),
        "/old": Application.from_redirect("/new"),
    },
)


def told(environ, start_response):
    """Tell which cookies collide."""
    page = "\n".join(map(str, collisions(composed))).encode()
    start_response(
        "200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(page)))]
    )
    return [page]


composed.mounts["/collisions"] = told

under = os.environ.get("PORTAL_UNDER")
application = CloseGuard(Mount(None, {under: composed}) if under else composed)
