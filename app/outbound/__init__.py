"""Requests that the service makes to addresses that somebody else has named: webhooks, and tasks that call a URL.

The guard against server-side request forgery (SSRF) stands here, once for all who send. Delivery and task_types are
strangers to each other, so this room lies below both. May import protocol; httpx and its transport httpcore live here.
"""
