"""What lets through only some."""

from .registry import Sends, Subject

subject = Subject("Authentication")

BASIC = {"HTTP_AUTHORIZATION": "Basic dXNlcjpwYXNzd29yZA=="}  # user:password
PEOPLE = {"user": "password"}


def lets_in(environ, username, password):
    return PEOPLE.get(username) == password


@subject.of("Paste", "AuthBasicHandler")
def paste_basic(application):
    from paste.auth.basic import AuthBasicHandler

    return Sends(AuthBasicHandler(application, "survey", lets_in), **BASIC)


@subject.of("Paste", "AuthDigestHandler")
def paste_digest(application):
    from paste.auth.digest import AuthDigestHandler

    layer = AuthDigestHandler(application, "survey", lambda environ, realm, name: "")
    return Sends(layer, REMOTE_USER="user")


@subject.of("Paste", "AuthFormHandler")
def paste_form(application):
    from paste.auth.form import AuthFormHandler

    return Sends(AuthFormHandler(application, lets_in), REMOTE_USER="user")


@subject.of("Paste", "MultiHandler")
def paste_multi(application):
    from paste.auth.basic import AuthBasicHandler
    from paste.auth.multi import MultiHandler

    layer = MultiHandler(application)
    layer.add_method("basic", AuthBasicHandler, "survey", lets_in)
    layer.set_query_argument("basic")
    return layer


subject.wraps("Paste", "paste.auth.cookie:AuthCookieHandler")
subject.wraps("Paste", "paste.auth.auth_tkt:AuthTKTMiddleware", "secret")
subject.wraps("Paste", "paste.auth.grantip:GrantIPMiddleware", {"127.0.0.1": ("user", "role")})
subject.wraps("Paste", "paste.auth.open_id:AuthOpenIDHandler", "openid")


@subject.of("repoze.who", "PluggableAuthenticationMiddleware")
def who(application):
    from repoze.who.classifiers import default_challenge_decider, default_request_classifier
    from repoze.who.middleware import PluggableAuthenticationMiddleware
    from repoze.who.plugins.auth_tkt import AuthTktCookiePlugin
    from repoze.who.plugins.basicauth import BasicAuthPlugin

    basic, ticket = BasicAuthPlugin("survey"), AuthTktCookiePlugin("secret")
    return PluggableAuthenticationMiddleware(
        application,
        identifiers=[("ticket", ticket), ("basic", basic)],
        authenticators=[("ticket", ticket)],
        challengers=[("basic", basic)],
        mdproviders=[],
        request_classifier=default_request_classifier,
        challenge_decider=default_challenge_decider,
    )


@subject.of("repoze.who", "PredicateRestriction")
def restriction(application):
    from repoze.who.restrict import make_authenticated_restriction

    return Sends(make_authenticated_restriction(application, {}), REMOTE_USER="user")


@subject.of("wsgi-basic-auth", "BasicAuth")
def wsgi_basic_auth(application):
    import os

    os.environ["WSGI_AUTH_CREDENTIALS"] = "user:password"
    from wsgi_basic_auth import BasicAuth

    return Sends(BasicAuth(application), **BASIC)


@subject.of("httpauth", "DictHttpAuthMiddleware")
def httpauth(application):
    from httpauth import DictHttpAuthMiddleware

    return DictHttpAuthMiddleware(PEOPLE, wsgi_app=application, routes=["/private"])


@subject.of("keystonemiddleware", "AuthProtocol")
def keystone(application):
    from keystonemiddleware.auth_token import AuthProtocol

    return AuthProtocol(
        application, {"delay_auth_decision": True, "www_authenticate_uri": "http://localhost"}
    )


@subject.of("wsgi-kerberos", "KerberosAuthMiddleware")
def kerberos(application):
    from wsgi_kerberos import KerberosAuthMiddleware

    return KerberosAuthMiddleware(application, auth_required_callback=lambda environ: False)


@subject.of("wsgi-oauth2", "GitHub")
def oauth2(application):
    from wsgioauth2 import github

    client = github.make_client(client_id="none", client_secret="none")
    return client.wsgi_middleware(
        application, secret=b"secret", login_path="/login", forbidden_path="/no"
    )
