"""One shelf per noun: the SQL that reads and writes it."""
