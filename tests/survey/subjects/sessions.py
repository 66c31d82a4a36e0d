"""What begins before a request and has to end after it: sessions, transactions, retries."""

from .registry import Subject

subject = Subject("Sessions and transactions")

subject.wraps("Beaker", "beaker.middleware:SessionMiddleware", {"session.type": "memory"})
subject.wraps("Beaker", "beaker.middleware:CacheMiddleware", {"cache.type": "memory"})
subject.wraps("Paste", "paste.session:SessionMiddleware")
subject.wraps("Paste", "paste.flup_session:SessionMiddleware", {}, name="flup_session")
subject.wraps("Paste", "paste.transaction:TransactionManagerMiddleware")
subject.wraps("Paste", "paste.registry:RegistryManager")
subject.wraps(
    "Paste", "paste.registry:RegistryManager", streaming=True, name="RegistryManager(streaming)"
)
subject.wraps("Paste", "paste.config:ConfigMiddleware", {"key": "value"})
subject.wraps("Paste", "paste.recursive:RecursiveMiddleware")
subject.wraps("repoze.tm2", "repoze.tm:TM")
subject.wraps("repoze.retry", "repoze.retry:Retry", tries=3)
subject.wraps(
    "repoze.browserid",
    "repoze.browserid.middleware:make_middleware",
    {},
    "secret",
    name="BrowserIdMiddleware",
)


@subject.of("repoze.tm2", "TM with a veto")
def tm_with_veto(application):
    from repoze.tm import TM, default_commit_veto

    return TM(application, default_commit_veto)


@subject.of("Beaker", "SessionMiddleware, saved on every request")
def saving(application):
    from beaker.middleware import SessionMiddleware

    def uses(environ, start_response):
        environ["beaker.session"]["seen"] = True
        environ["beaker.session"].save()
        return application(environ, start_response)

    return SessionMiddleware(uses, {"session.type": "memory"})
