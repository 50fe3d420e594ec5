"""What gives nodes to people: one file each, all behind the same port. Nothing but their own constructors chooses between them yet."""
