"""The GraphQL endpoint for inventory and channels, after the vendor's published schema.

Rule: a query that names what does not exist runs not at all; aliased mutations run in order, each failing alone.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from sellable.sandbox.commercetools.errors import ApiError, invalid_input
from sellable.sandbox.commercetools.graphql_parser import (
    Document,
    Enum,
    Field,
    Operation,
    SyntaxProblem,
    Variable,
    parse,
)  # fmt: skip
from sellable.sandbox.commercetools.inventory import Inventory
from sellable.sandbox.commercetools.predicate import compile_predicate
from sellable.sandbox.commercetools.project import Project
from sellable.sandbox.commercetools.store import MAX_LIMIT, MAX_OFFSET, Collection, parse_sort
from sellable.sandbox.commercetools.wire import Doc, decode

Schema = dict[str, dict[str, str | None]]
_VERSIONED: dict[str, str | None] = {
    "id": None, "version": None, "key": None, "createdAt": None, "lastModifiedAt": None,
    "createdBy": "Initiator", "lastModifiedBy": "Initiator", "custom": "CustomFieldsType",
}  # fmt: skip
_RESULT: dict[str, str | None] = {"offset": None, "count": None, "total": None, "exists": None}
SCHEMA: Schema = {
    "Query": {
        "inventoryEntries": "InventoryEntryQueryResult", "inventoryEntry": "InventoryEntry",
        "channels": "ChannelQueryResult", "channel": "Channel",
    },
    "Mutation": {
        "createInventoryEntry": "InventoryEntry", "updateInventoryEntry": "InventoryEntry",
        "deleteInventoryEntry": "InventoryEntry",
    },
    "InventoryEntryQueryResult": {**_RESULT, "results": "InventoryEntry"},
    "ChannelQueryResult": {**_RESULT, "results": "Channel"},
    "InventoryEntry": {
        **_VERSIONED, "sku": None, "quantityOnStock": None, "availableQuantity": None, "restockableInDays": None,
        "reservationExpirationInMinutes": None, "expectedDelivery": None, "minCartQuantity": None,
        "maxCartQuantity": None, "stockLevels": "StockLevels", "supplyChannel": "Channel",
        "supplyChannelRef": "Reference",
    },
    "Channel": {**_VERSIONED, "roles": None},
    "Reference": {"typeId": None, "id": None},
    "Initiator": {"isPlatformClient": None, "clientId": None},
    "StockLevels": {"reorderPoint": None, "safetyStock": None},
    "CustomFieldsType": {"typeRef": "Reference", "type": "TypeDefinition", "customFieldsRaw": "RawCustomField"},
    "TypeDefinition": {"id": None, "version": None, "key": None, "resourceTypeIds": None},
    "RawCustomField": {"name": None, "value": None},
}  # fmt: skip
_LIST = frozenset({"where", "sort", "limit", "offset"})
ARGUMENTS: dict[str, frozenset[str]] = {
    "inventoryEntries": _LIST,
    "channels": _LIST,
    "inventoryEntry": frozenset({"id", "key"}),
    "channel": frozenset({"id", "key"}),
    "createInventoryEntry": frozenset({"draft"}),
    "updateInventoryEntry": frozenset({"id", "key", "version", "actions"}),
    "deleteInventoryEntry": frozenset({"id", "key", "version", "personalDataErasure"}),
    "customFieldsRaw": frozenset({"includeNames", "excludeNames"}),
}
REQUIRED_ARGUMENTS = {
    "createInventoryEntry": ("draft",), "updateInventoryEntry": ("version", "actions"),
    "deleteInventoryEntry": ("version",),
}  # fmt: skip


class GraphQL:
    """POST /graphql of one project."""

    def __init__(self, project: Project, inventory: Inventory) -> None:
        self._project, self._inventory = project, inventory
        self._roots: dict[str, Callable[[dict[str, Any]], Any]] = {
            "inventoryEntries": lambda arguments: self._list(project.inventory, arguments),
            "channels": lambda arguments: self._list(project.others["channel"], arguments),
            "inventoryEntry": lambda arguments: self._optional(project.inventory, arguments),
            "channel": lambda arguments: self._optional(project.others["channel"], arguments),
            "createInventoryEntry": lambda arguments: inventory.create(_draft(arguments["draft"])),
            "updateInventoryEntry": self._update,
            "deleteInventoryEntry": lambda arguments: inventory.delete(
                self._one(project.inventory, arguments), arguments["version"]
            ),
        }

    def run(self, query: str, variables: dict[str, Any], operation_name: str | None = None) -> tuple[int, Doc]:
        """(status, {data?, errors?}); 400 when the query does not fit the schema, 200 otherwise."""
        try:
            document = _parsed(query)
            operation = _chosen(document, operation_name)
            values = _bound(operation, variables)
            root = "Query" if operation.kind == "query" else "Mutation"
            _validate(document, operation.selection, root)
        except SyntaxProblem as problem:
            return 400, {"errors": [{"message": str(problem), "extensions": {"code": "InvalidInput"}}]}
        data: Doc = {}
        errors: list[Doc] = []
        for field in document.flat(operation.selection):
            try:
                arguments = {name: _filled(value, values) for name, value in field.arguments.items()}
                found = self._roots[field.name](arguments)
                data[field.alias] = self._shape(document, found, field, SCHEMA[root][field.name], values)
            except ApiError as error:
                data[field.alias] = None
                first = error.errors[0]
                errors.append({"message": first["message"], "path": [field.alias], "extensions": first})
        return 200, {"data": data, **({"errors": errors} if errors else {})}

    def _shape(self, document: Document, value: Any, field: Field, kind: str | None, values: dict[str, Any]) -> Any:
        """A value cut down to what the field selects."""
        if value is None or kind is None:
            return value
        if isinstance(value, list):
            return [self._shape(document, element, field, kind, values) for element in value]
        shaped: Doc = {}
        for inner in document.flat(field.selection):
            if inner.name == "__typename":
                shaped[inner.alias] = kind
                continue
            found = self._resolve(value, inner, values)
            shaped[inner.alias] = self._shape(document, found, inner, SCHEMA[kind][inner.name], values)
        return shaped

    def _resolve(self, value: Doc, field: Field, values: dict[str, Any]) -> Any:
        match field.name:
            case "supplyChannelRef":
                return value.get("supplyChannel")
            case "supplyChannel" if "supplyChannel" in value:
                return self._project.others["channel"].docs[value["supplyChannel"]["id"]]
            case "typeRef":
                return value["type"]
            case "type":
                return self._project.others["type"].docs[value["type"]["id"]]
            case "customFieldsRaw":
                wanted = {name: _filled(names, values) for name, names in field.arguments.items()}
                included, excluded = wanted.get("includeNames"), wanted.get("excludeNames") or []
                return [
                    {"name": name, "value": content}
                    for name, content in value["fields"].items()
                    if (included is None or name in included) and name not in excluded
                ]
        return value.get(field.name)

    def _list(self, collection: Collection, arguments: dict[str, Any]) -> Doc:
        limit, offset = arguments.get("limit", 20), arguments.get("offset", 0)
        if limit is None or not 0 <= limit <= MAX_LIMIT or offset is None or not 0 <= offset <= MAX_OFFSET:
            raise invalid_input(f"limit must be within 0 and {MAX_LIMIT}, offset within 0 and {MAX_OFFSET}.")
        where = compile_predicate([arguments["where"]] if arguments.get("where") else [], {})
        sort = arguments.get("sort") or []
        order = parse_sort([sort] if isinstance(sort, str) else sort)
        rows, total = collection.query(where, order, limit, offset)
        return {"offset": offset, "count": len(rows), "total": total, "exists": bool(total), "results": rows}

    def _one(self, collection: Collection, arguments: dict[str, Any]) -> Doc:
        if arguments.get("id") is not None:
            return collection.by_id(arguments["id"])
        if arguments.get("key") is not None:
            return collection.by_key(arguments["key"])
        raise invalid_input("Either id or key is required.")

    def _optional(self, collection: Collection, arguments: dict[str, Any]) -> Doc | None:
        try:
            return self._one(collection, arguments)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _update(self, arguments: dict[str, Any]) -> Doc:
        actions = arguments["actions"]
        body = {"version": arguments["version"], "actions": [_action(action) for action in actions]}
        return self._inventory.update(self._one(self._project.inventory, arguments), body)


@lru_cache(maxsize=256)
def _parsed(query: str) -> Document:
    return parse(query)


def _chosen(document: Document, name: str | None) -> Operation:
    for operation in document.operations:
        if name in (None, operation.name):
            return operation
    raise SyntaxProblem(f"Unknown operation '{name}'.")


def _bound(operation: Operation, variables: dict[str, Any]) -> dict[str, Any]:
    values = {}
    for name, definition in operation.variables.items():
        given = variables.get(name)
        if given is None and definition.required:
            raise SyntaxProblem(f"Variable '${name}' expected value of type '{definition.type}' but it is undefined.")
        if given is not None or name in variables or definition.default is not None:
            values[name] = definition.default if given is None else given
    return values


def _validate(document: Document, selection: Any, kind: str) -> None:
    for field in document.flat(selection):
        if field.name == "__typename":
            continue
        if field.name not in SCHEMA[kind]:
            raise SyntaxProblem(f"Cannot query field '{field.name}' on type '{kind}'.")
        for name in field.arguments.keys() - ARGUMENTS.get(field.name, frozenset()):
            raise SyntaxProblem(f"Unknown argument '{name}' on field '{field.name}' of type '{kind}'.")
        for name in REQUIRED_ARGUMENTS.get(field.name, ()):
            if field.arguments.get(name) is None:
                raise SyntaxProblem(f"Field '{field.name}' argument '{name}' is required but not provided.")
        inner = SCHEMA[kind][field.name]
        if (inner is None) == bool(field.selection):
            must = "must not" if inner is None else "must"
            raise SyntaxProblem(f"Field '{field.name}' of type '{kind}' {must} have a selection.")
        if inner is not None:
            _validate(document, field.selection, inner)


def _filled(value: Any, variables: dict[str, Any]) -> Any:
    """An argument with its variables put in; enum words become texts."""
    if isinstance(value, Variable):
        return variables.get(value.name)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, dict):
        return {name: _filled(inner, variables) for name, inner in value.items()}
    return [_filled(inner, variables) for inner in value] if isinstance(value, list) else value


def _action(wrapped: Any) -> Doc:
    """{changeQuantity: {quantity: 5}} as the HTTP API's action."""
    if not isinstance(wrapped, dict) or len(wrapped) != 1:
        raise invalid_input("An update action is an object with exactly one field.")
    ((name, fields),) = wrapped.items()
    if not isinstance(fields, dict):
        raise invalid_input(f"The update action '{name}' needs an object.")
    if name == "setCustomField":
        return {"action": name, "name": fields.get("name"), "value": _json(fields.get("value"))}
    if name == "setCustomType":
        return {"action": name, **_custom(fields)}
    return {"action": name, **fields}


def _draft(draft: Any) -> Any:
    return {**draft, "custom": _custom(draft["custom"])} if isinstance(draft, dict) and draft.get("custom") else draft


def _custom(draft: Doc) -> Doc:
    """CustomFieldsDraft of the schema: typeKey, typeId or type, and fields whose values are JSON texts."""
    kind = draft.get("type")
    for name in ("id", "key"):
        given = draft.get("type" + name.capitalize())
        kind = {"typeId": "type", name: given} if given else kind
    fields = {field["name"]: _json(field["value"]) for field in draft.get("fields") or []}
    return {"type": kind, "fields": fields}


def _json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return decode(text.encode())
    except (msgspec.DecodeError, AttributeError) as error:
        raise invalid_input(f"The value {text!r} of a custom field is not escaped JSON.") from error
