"""One site, three times; run.py serves each of them in turn."""

import os

from django.core.wsgi import get_wsgi_application
from elasticapm import Client
from elasticapm.middleware import ElasticAPM

from freedom_middleware import CloseGuard

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
client = Client(service_name="mysite", enabled=False)  # sends nothing to anybody

site = get_wsgi_application()
application = ElasticAPM(site, client)  # loses close()
guarded = ElasticAPM(CloseGuard(site), client)  # may lose it now
