"""One file a resource of the wire, each with the routes under its path."""
