"""authsvc: may the bearer of this API key do this?"""

__version__ = "0.1.0"
