"""API Extensions on order creation: asked before anything is stored.

Rule: no answer in time fails the shopper's call.
"""

import asyncio
from typing import Any

import msgspec

from sellable.sandbox.commercetools.errors import ApiError, need
from sellable.sandbox.commercetools.inventory import Inventory
from sellable.sandbox.commercetools.order_actions import ACTIONS, OrderEdit
from sellable.sandbox.commercetools.predicate import MissingField, matches
from sellable.sandbox.commercetools.project import Project
from sellable.sandbox.commercetools.wire import Doc, clone, decode, encode
from sellable.sandbox.outbound import Outbound

DEFAULT_MILLISECONDS = 2000
_REFUSALS = (
    "InvalidInput", "InvalidOperation", "General", "Unauthorized", "SyntaxError", "SemanticError", "ObjectNotFound",
)  # fmt: skip


class Extensions:
    """Extensions of one project, HTTP destinations only."""

    def __init__(self, project: Project, outbound: Outbound) -> None:
        self._project, self._outbound = project, outbound

    async def ask(self, type_id: str, action: str, obj: Doc) -> list[Doc]:
        """The update actions that the matching extensions want; raises what the shopper's call gets instead."""
        known = list(self._project.others["extension"].docs.values())
        asked = [extension for extension in known if _triggered(extension, type_id, action, obj)]
        actions: list[Doc] = []
        for extension in asked:
            actions += await self._call(extension, type_id, action, obj)
        return actions

    def apply(self, order: Doc, actions: list[Doc], inventory: Inventory) -> Doc:
        """The order with the extensions' update actions; raises ExtensionUpdateActionsFailed."""
        if not actions:
            return order
        copy = clone({**order, "version": 0})
        edit = OrderEdit(self._project, self._project.orders, copy, order, inventory=inventory)
        try:
            for action in actions:
                ACTIONS[need(action, "action", str)](edit, action)
        except (ApiError, KeyError) as error:
            message = "The extension returned update actions that could not be executed."
            failed = {"code": "InvalidField", "message": str(error)}
            raise ApiError(400, "ExtensionUpdateActionsFailed", message, extensionErrors=[failed]) from error
        return {name: value for name, value in edit.doc.items() if name != "version"}

    async def _call(self, extension: Doc, type_id: str, action: str, obj: Doc) -> list[Doc]:
        headers = {"content-type": "application/json", "x-correlation-id": self._project.new_id()}
        login = extension["destination"].get("authentication") or {}
        if login.get("type") == "AuthorizationHeader":
            headers["authorization"] = login["headerValue"]
        elif login.get("type") == "AzureFunctions":
            headers["x-functions-key"] = login["key"]
        resource = {"typeId": type_id, "id": obj["id"], "obj": {**obj, "version": 1}}
        body = encode({"action": action, "resource": resource})
        seconds = self._project.clock.limit(extension.get("timeoutInMs", DEFAULT_MILLISECONDS) / 1000)
        try:
            post = self._outbound.post(extension["destination"]["url"], headers, body)
            status, content = await asyncio.wait_for(post, seconds)
        except (TimeoutError, OSError) as error:
            self._project.journal.add("extension_failed", project=self._project.key, key=extension.get("key"))
            raise _refusal(extension, 504, "ExtensionNoResponse", "Extension did not respond in time.") from error
        return _judged(extension, status, content)


def _triggered(extension: Doc, type_id: str, action: str, obj: Doc) -> bool:
    for trigger in extension["triggers"]:
        if trigger["resourceTypeId"] != type_id or action not in trigger["actions"]:
            continue
        try:
            if not trigger.get("condition") or matches(obj, trigger["condition"], strict=True):
                return True
        except MissingField as error:
            error.errors[0]["errorByExtension"] = _identity(extension)
            raise
    return False


def _judged(extension: Doc, status: int, content: bytes) -> list[Doc]:
    """Actions of an answer; raises the extension's own refusal, or ExtensionBadResponse (guess: 502) on nonsense."""
    if status not in (200, 201, 400):
        message = f"'{status}' is not an expected status code."
        facts: dict[str, Any] = {"extensionStatusCode": status, "extensionBody": content.decode("utf-8", "replace")}
        raise _refusal(extension, 502, "ExtensionBadResponse", message, **facts)
    try:
        answer = decode(content) if content.strip() else {}
    except msgspec.DecodeError as error:
        raise _refusal(extension, 502, "ExtensionBadResponse", "The response is not valid JSON.") from error
    if status == 400:
        errors = answer.get("errors") if isinstance(answer, dict) else None
        if not errors or any(e.get("code") not in _REFUSALS for e in errors):
            raise _refusal(extension, 502, "ExtensionBadResponse", "The refusal carries no allowed error code.")
        refusal = ApiError(400, errors[0]["code"], errors[0].get("message", ""))
        refusal.errors = [{**error, "errorByExtension": _identity(extension)} for error in errors]
        raise refusal
    actions: list[Doc] = answer.get("actions") or [] if isinstance(answer, dict) else []
    return actions


def _identity(extension: Doc) -> Doc:
    return {"id": extension["id"], **({"key": extension["key"]} if "key" in extension else {})}


def _refusal(extension: Doc, status: int, code: str, message: str, **extra: Any) -> ApiError:
    names = {"extensionId": extension["id"], "extensionKey": extension.get("key")}
    return ApiError(status, code, message, **names, **extra)
