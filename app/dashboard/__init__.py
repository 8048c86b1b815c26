"""Pages for people: Jinja templates, no build step, no content from elsewhere."""
