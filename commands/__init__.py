"""The handles: one file a command of ./corehours; the only room that may import every other."""
