"""The example site: a Freedom site, a Flask shop and an ASGI API as one application."""

from freedom_middleware import Application, CloseGuard, Mount

site = Application.from_settings("mysite.settings")

unguarded = Mount(site, {"/shop": "shop:app", "/api": "api:app"})

application = CloseGuard(unguarded)
