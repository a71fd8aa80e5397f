"""How fast, against what: `python -m bench`. Nothing here is part of the product."""
