"""Real counterparts for live tests, started and stopped by them on loopback."""
