"""Tracers, monitors and error reporters, their agents switched off."""

import os

from tests.neighbours import layers as neighbours

from .registry import Subject

subject = Subject("APM and tracing")

subject.of("elastic-apm", "ElasticAPM")(neighbours.elastic_apm)
subject.of("ddtrace", "DDWSGIMiddleware")(neighbours.ddtrace)
subject.of("ddtrace", "DDWSGIMiddleware(app_is_iterator=True)")(neighbours.ddtrace_iterator)
subject.of("opentelemetry-instrumentation-wsgi", "OpenTelemetryMiddleware")(
    neighbours.opentelemetry
)
subject.of("instana", "InstanaWSGIMiddleware")(neighbours.instana)
subject.wraps("sentry-sdk", "sentry_sdk.integrations.wsgi:SentryWsgiMiddleware")
subject.wraps("bugsnag", "bugsnag.wsgi.middleware:BugsnagMiddleware")


@subject.of("opentelemetry-instrumentation-wsgi", "OpenTelemetryMiddleware with hooks")
def opentelemetry_with_hooks(application):
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.trace import TracerProvider

    return OpenTelemetryMiddleware(
        application,
        request_hook=lambda span, environ: None,
        response_hook=lambda span, environ, status, headers: None,
        tracer_provider=TracerProvider(),
    )


@subject.of("sentry-sdk", "SentryWsgiMiddleware, initialised")
def sentry_initialised(application):
    import sentry_sdk
    from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

    sentry_sdk.init(traces_sample_rate=1.0, default_integrations=False)
    return SentryWsgiMiddleware(application)


@subject.of("newrelic", "WSGIApplicationWrapper")
def newrelic(application):
    os.environ["NEW_RELIC_DEVELOPER_MODE"] = "true"
    from newrelic.api.wsgi_application import WSGIApplicationWrapper

    return WSGIApplicationWrapper(application)


@subject.of("newrelic", "WSGIApplicationWrapper, registered")
def newrelic_registered(application):
    os.environ.update(
        NEW_RELIC_DEVELOPER_MODE="true", NEW_RELIC_LICENSE_KEY="0" * 40, NEW_RELIC_LOG="stderr"
    )
    import newrelic.agent

    newrelic.agent.initialize()
    newrelic.agent.register_application("survey", timeout=5)
    return newrelic.agent.WSGIApplicationWrapper(application)


@subject.of("newrelic", "@wsgi_application")
def newrelic_decorator(application):
    os.environ["NEW_RELIC_DEVELOPER_MODE"] = "true"
    import newrelic.agent

    @newrelic.agent.wsgi_application()
    def decorated(environ, start_response):
        return application(environ, start_response)

    return decorated


@subject.of("raven", "Sentry")
def raven(application):
    from raven import Client
    from raven.middleware import Sentry

    return Sentry(application, Client())


@subject.of("raygun4py", "Provider")
def raygun(application):
    from raygun4py import raygunprovider
    from raygun4py.middleware.wsgi import Provider

    raygunprovider.RaygunSender.send_exception = lambda *_, **__: None  # sends nothing
    return Provider(application, "no key")


@subject.of("appenlight-client", "AppenlightWSGIWrapper")
def appenlight(application):
    import appenlight_client.client

    return appenlight_client.client.make_appenlight_middleware(
        application, {"appenlight.api_key": ""}
    )


@subject.of("apache-skywalking", "sw_flask")
def skywalking(application):
    from flask import Flask
    from skywalking.plugins import sw_flask

    sw_flask.install()
    site = Flask("site", root_path="/")
    site.wsgi_app = application
    return site


@subject.of("aws-xray-sdk", "Flask XRayMiddleware")
def xray(application):
    from aws_xray_sdk.core import xray_recorder
    from aws_xray_sdk.ext.flask.middleware import XRayMiddleware
    from flask import Flask

    site = Flask("site", root_path="/")
    XRayMiddleware(site, xray_recorder)
    site.wsgi_app = application
    return site
