"""What ``runserver`` needs to serve the probes; there is no site behind them."""

SECRET_KEY = "the probes keep no secrets"
ALLOWED_HOSTS = ["*"]
DATABASES = {}
INSTALLED_APPS = []
ROOT_URLCONF = __name__
WSGI_APPLICATION = "probe.wsgi.application"
USE_TZ = True
urlpatterns = []
