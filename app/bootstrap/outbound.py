"""The way out of a service: whom it may call, for webhooks and for tasks."""

from app.outbound.client import OutboundClient
from app.outbound.rules import OutboundRules
from app.settings import OutboundSettings, port_range
from app.task_types import http_request


def outbound_client(settings: OutboundSettings) -> OutboundClient:
    """The one client of this process; the kind of task http_request gets it too."""
    client = OutboundClient(
        OutboundRules(
            allowed_networks=settings.outbound_allowed_networks,
            plain_http=settings.outbound_plain_http,
            ports=tuple(port_range(ports) for ports in settings.outbound_ports),
        )
    )
    http_request.open_door(client, settings.http_request_hosts)
    return client
