"""One file a resource of the wire, each with the routes under its path.

`ROUTERS` lists them, the slim ones first: what is matched first costs least.
"""

from app.api.routers import (
    acknowledgements,
    catalogue,
    controls,
    deliveries,
    documents,
    erasure,
    events,
    executions,
    explanation,
    operations,
    published_keys,
    quotas,
    retry,
    revocations,
    task_history,
    task_list,
    tasks,
    webhook_secrets,
)

ROUTERS = (
    tasks.hot,
    task_list.slim,
    tasks.router,
    task_list.router,
    task_history.router,
    retry.router,
    erasure.router,
    events.router,
    executions.router,
    explanation.router,
    acknowledgements.router,
    catalogue.router,
    controls.router,
    deliveries.router,
    webhook_secrets.router,
    quotas.router,
    revocations.router,
    operations.router,
    published_keys.router,
    documents.router,
)
HOT = (tasks.hot, task_list.slim)
