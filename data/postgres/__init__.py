"""Postgres: the server, the transaction and one shelf per noun."""
