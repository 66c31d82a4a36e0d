"""Judge UserGuard beside a site with one user; print the marks as JSON.

In a process of its own: settings are process-wide.
"""

import base64
import json
import logging
import sys

import django
from django.conf import settings

from ..survey.subjects.registry import Sends
from .measure import judge_layer

settings.configure(
    SECRET_KEY="one for a process",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": "file:users?mode=memory&cache=shared",
        }
    },
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
)
urlpatterns = []

CREDENTIALS = "Basic " + base64.b64encode(b"ann:password").decode()


def main():
    logging.disable()
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection

    from freedom_middleware.freedom.users import UserGuard

    call_command("migrate", verbosity=0)
    User.objects.create_user("ann", password="password")
    kept = connection.connection  # the database lives as long as somebody has it open

    def layer(application):
        return Sends(UserGuard(application), HTTP_AUTHORIZATION=CREDENTIALS)

    json.dump(judge_layer(layer), sys.stdout)
    kept.close()


if __name__ == "__main__":
    main()
