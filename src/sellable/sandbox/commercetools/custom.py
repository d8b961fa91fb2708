"""Custom types and fields on any resource. Rule: fields are those the referenced type defines for that resource."""

from typing import Any

from sellable.sandbox.commercetools.errors import ApiError, invalid_operation, may, need
from sellable.sandbox.commercetools.project import Project
from sellable.sandbox.commercetools.wire import Doc, reference

_KINDS: dict[str, type | tuple[type, ...]] = {"String": str, "Boolean": bool, "Date": str, "DateTime": str, "Enum": str}


def custom_fields(project: Project, draft: Doc | None, resource: str) -> Doc | None:
    """A draft {type, fields} as stored; None without a type. Raises when type, resource or a field does not fit."""
    if draft is None or draft.get("type") is None:
        return None
    kind = project.resolve(draft["type"], "type")
    if resource not in kind["resourceTypeIds"]:
        raise invalid_operation(f"The type '{kind['key']}' does not apply to '{resource}'.")
    fields = dict(may(draft, "fields", dict) or {})
    for name, value in fields.items():
        _check(kind, name, value)
    for definition in kind["fieldDefinitions"]:
        if definition.get("required") and fields.get(definition["name"]) is None:
            name = definition["name"]
            raise ApiError(400, "RequiredField", f"A value is required for field '{name}'.", field=name)
    return {"type": reference("type", kind["id"]), "fields": fields}


def set_custom_type(project: Project, holder: Doc, action: Doc, resource: str) -> None:
    """The setCustomType family: without a type the custom fields go."""
    custom = custom_fields(project, action, resource)
    if custom is None:
        holder.pop("custom", None)
    else:
        holder["custom"] = custom


def set_custom_field(project: Project, holder: Doc, action: Doc) -> None:
    """The setCustomField family: without a value the field goes."""
    name = need(action, "name", str)
    if "custom" not in holder:
        raise invalid_operation("The resource has no custom type set; use setCustomType first.")
    custom = holder["custom"]
    kind = project.others["type"].by_id(custom["type"]["id"])
    fields = dict(custom["fields"])
    if action.get("value") is None:
        fields.pop(name, None)
    else:
        _check(kind, name, action["value"])
        fields[name] = action["value"]
    holder["custom"] = {**custom, "fields": fields}


def _check(kind: Doc, name: str, value: Any) -> None:
    definition = next((d for d in kind["fieldDefinitions"] if d["name"] == name), None)
    if definition is None:
        raise invalid_operation(f"The field '{name}' is not defined for the type '{kind['key']}'.")
    wanted = _KINDS.get(definition["type"]["name"])
    if value is not None and wanted is not None and not isinstance(value, wanted):
        message = f"The value '{value}' is not valid for field '{name}'."
        raise ApiError(400, "InvalidField", message, field=name, invalidValue=value)
