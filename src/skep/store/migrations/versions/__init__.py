"""The migrations, one Python file for Alembic and one SQL file each."""
