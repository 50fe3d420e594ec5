"""The analytics copy: DuckLake tables for pictures; it decides nothing and can be rebuilt."""
