"""A site whose responses are all closed: `freedom-middleware serve mysite.wsgi`."""

from freedom_middleware import Application, CloseGuard

application = CloseGuard(Application.from_settings("mysite.settings"))
