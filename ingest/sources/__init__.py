"""Where usage comes from; each file one source behind the same port."""
