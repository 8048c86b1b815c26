"""resource_validator: whether this service can ever grant what a task asks for (protocol, "Required Components")."""

from app.protocol.problems import MemberError
from app.protocol.resources import CUSTOM_PREFIX, Amounts, Resources, shortfall, to_wire
from app.resources.capacities import Capacities
from app.submission.task_validator import SPECIFICATION
from app.task_types.definition import TaskType

LIMITS = ("cpu", "memory_mb")
"""Units that a child process is held to."""

_HELD = "tasks of this kind are held to what they ask for"


def resolve(request: Resources | None, kind: TaskType) -> Amounts:
    """What the task needs: the type's defaults, with the units that the message names in their place."""
    if request is None:
        return kind.resources.amounts()
    named = {name: getattr(request, name) for name in request.model_fields_set}
    if "custom" in named:
        named["custom"] = {**kind.resources.custom, **request.custom}
    return kind.resources.model_copy(update=named).amounts()


def check_limits(amounts: Amounts, kind: TaskType) -> list[MemberError]:
    """Where the task would run in a child process without the limits of its kind: an error for each that is asked away.

    Of what asks for nothing any number runs at once, whatever the node has.
    """
    if kind.runs_in != "process":
        return []
    lifted = [unit for unit in LIMITS if unit in kind.resources.amounts() and unit not in amounts]
    return [MemberError(f"{SPECIFICATION}/resources/{unit}", f"must be more than 0: {_HELD}") for unit in lifted]


def check_resources(amounts: Amounts, capacities: Capacities) -> list[MemberError]:
    """Where no node could ever grant the request: an error for each unit that the nearest to it has too little of."""
    return [_too_much(unit, amounts, capacities) for unit in shortfall(amounts, capacities.nearest(amounts).amounts)]


def _too_much(unit: str, amounts: Amounts, capacities: Capacities) -> MemberError:
    asked = _number(unit, amounts)
    if unit.startswith(CUSTOM_PREFIX):
        name = unit.removeprefix(CUSTOM_PREFIX)
        pointer = f"{SPECIFICATION}/resources/custom/{name}"
        units = {unit for node in capacities.all for unit in node.amounts}
        if unit not in units:
            known = [known.removeprefix(CUSTOM_PREFIX) for known in units if known.startswith(CUSTOM_PREFIX)]
            offer = f"its own units are {', '.join(sorted(known))}" if known else "it has no units of its own"
            return MemberError(pointer, f"is not a unit of this service: {offer}")
    else:
        pointer = f"{SPECIFICATION}/resources/{unit}"
    return MemberError(pointer, f"asks for {asked}, {_there_is(unit, amounts, capacities)}: it could never be granted")


def _there_is(unit: str, amounts: Amounts, capacities: Capacities) -> str:
    node_id, capacity = capacities.nearest(amounts)
    has = _number(unit, capacity)
    if capacities.alone:
        return f"this service has {has} in all"
    if any(node.amounts.get(unit, 0) > capacity.get(unit, 0) for node in capacities.all):
        return f"no node has all of the request, and the one that comes nearest, {node_id}, has {has}"
    return f"the largest node, {node_id}, has {has}"


def _number(unit: str, amounts: Amounts) -> float:
    wire = to_wire({unit: amounts.get(unit, 0)})
    if unit.startswith(CUSTOM_PREFIX):
        wire = wire["custom"]
        unit = unit.removeprefix(CUSTOM_PREFIX)
    number: float = wire[unit]
    return number
