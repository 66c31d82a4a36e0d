from mysite.urls import urlpatterns as answering
from portal.urls import urlpatterns as with_the_admin

urlpatterns = [*answering, *with_the_admin]
