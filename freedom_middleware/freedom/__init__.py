"""The Freedom side: projects, system checks, and users for what is mounted beside a site.

In ``INSTALLED_APPS`` it adds the system checks to ``manage.py check`` and ``runserver``.
Nothing here imports the framework before it is needed.
"""
