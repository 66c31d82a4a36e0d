"""The portal's settings, admin and all; the database is where TOWN_FOLDER says."""

import os
from pathlib import Path

from portal.settings import *  # noqa: F403

ROOT_URLCONF = "town.urls"
WSGI_APPLICATION = "town.wsgi.application"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ["TOWN_FOLDER"]) / "town.sqlite3",
    }
}
