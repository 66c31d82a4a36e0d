"""What changes requests: forwarded hosts and prefixes, cross-origin rules, limits."""

from tests.leaks import layers

from .registry import Subject

subject = Subject("Proxies and headers")

subject.of("Werkzeug", "ProxyFix")(layers.proxy_fix)
subject.wraps(
    "Werkzeug",
    "werkzeug.middleware.http_proxy:ProxyMiddleware",
    {"/elsewhere": {"target": "http://127.0.0.1:9/"}},
)
subject.wraps("PasteDeploy", "paste.deploy.config:PrefixMiddleware", {}, prefix="/")
subject.wraps("PasteDeploy", "paste.deploy.config:ConfigMiddleware", {"key": "value"})
subject.wraps("repoze.vhm", "repoze.vhm.middleware:VHMFilter")
subject.wraps("repoze.vhm", "repoze.vhm.middleware:VHMExplicitFilter", "http://example.com")
subject.wraps("wsgicors", "wsgicors:CORS", headers="*", methods="*", origin="*")
subject.wraps(
    "microversion-parse",
    "microversion_parse.middleware:MicroversionMiddleware",
    "compute",
    ["1.0"],
)

for name in (
    "CatchErrors",
    "CORS",
    "Debug",
    "HTTPProxyToWSGI",
    "RequestBodySizeLimiter",
    "RequestId",
):
    subject.wraps("oslo.middleware", f"oslo_middleware:{name}")


@subject.of("oslo.middleware", "CatchErrors.factory")
def oslo_factory(application):
    from oslo_middleware import CatchErrors

    return CatchErrors.factory({})(application)


subject.wraps(
    "waitress",
    "waitress.proxy_headers:proxy_headers_middleware",
    trusted_proxy="127.0.0.1",
    trusted_proxy_headers={"x-forwarded-for"},
)
