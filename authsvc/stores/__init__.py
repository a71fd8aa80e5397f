"""The database: tables, migrations, and the one store over both of its kinds."""
