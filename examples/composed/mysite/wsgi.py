# mysite/wsgi.py
from freedom_middleware import Application, CloseGuard, Mount

site = Application.from_settings("mysite.settings")

application = CloseGuard(
    Mount(
        site,
        {
            "/shop": "shop:app",  # Flask
            "/api": "api.main:app",  # FastAPI
            "/old": "legacy.wsgi:make_app()",
        },
    )
)

from elasticapm import Client
from elasticapm.middleware import ElasticAPM  # loses close()

application = ElasticAPM(application, Client())  # harmless now
