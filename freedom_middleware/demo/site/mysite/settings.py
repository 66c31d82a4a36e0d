"""Settings of the example site: SQLite, three pages, nothing else."""

import os
import tempfile

SECRET_KEY = "only for the example site"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "mysite.urls"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.path.join(tempfile.mkdtemp(prefix="freedom-demo-"), "db.sqlite3"),
    }
}
USE_TZ = True
