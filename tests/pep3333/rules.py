"""Every rule, by its number."""

from .applications import APPLICATION
from .middleware import MIDDLEWARE
from .servers import SERVER

RULES = {rule.number: rule for rule in (*APPLICATION, *MIDDLEWARE, *SERVER)}
