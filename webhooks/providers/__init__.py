"""Payment providers; each file one adapter behind the same port."""
