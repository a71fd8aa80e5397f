"""Migrations, oldest first, each safe for the code before it and the code after it."""
