"""The ways in which an application is wrapped."""

from freedom_middleware import Cascade, CloseGuard, Hosts, Mount

ELSEWHERE = {"/transparency/elsewhere": lambda environ, start_response: 1 / 0}
OTHER_HOST = {"elsewhere.invalid": lambda environ, start_response: 1 / 0}


def counted(application):
    """Wrap in nothing more: bodies are counted, and that is all."""
    return application


def guard(application):
    return CloseGuard(application)


def mount(application):
    return Mount(application, ELSEWHERE)


def sharing(application):
    """Mount, with the caller's own environ instead of a copy."""
    return Mount(application, ELSEWHERE, share=True)


def composed(application):
    return Hosts(Mount(CloseGuard(Cascade([application])), ELSEWHERE), OTHER_HOST)


def shared(application):
    """Compose in the same way, with the caller's own environ instead of copies."""
    last = CloseGuard(Cascade([application], share=True))
    return Hosts(Mount(last, ELSEWHERE, share=True), OTHER_HOST, share=True)
