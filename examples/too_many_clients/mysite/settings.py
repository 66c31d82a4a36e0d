"""What the story needs of a project: PostgreSQL, memcached, and errors in the log."""

import os

SECRET_KEY = "an example's"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "mysite.urls"
USE_TZ = True
TIME_ZONE = "UTC"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "mysite",
        "USER": "mysite",
        "HOST": os.environ.get("MYSITE_POSTGRESQL", "127.0.0.1"),
        "CONN_MAX_AGE": 0,  # the default: a connection is given back when the response closes
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": os.environ.get("MYSITE_MEMCACHED", "127.0.0.1:11211"),
    }
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
