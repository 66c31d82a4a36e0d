"""`application = HelloWorldApplication(application)`, around a site that is guarded.

The guard is the last thing before the layers that are not yours, so that whatever they do
with a response, it is closed.
"""

from helloworld import HelloWorldApplication, HelloWorldPage

from freedom_middleware import Application, CloseGuard

application = CloseGuard(Application.from_settings("mysite.settings"))

application = HelloWorldPage(application)
application = HelloWorldApplication(application)
