"""The routes, one file a router."""
