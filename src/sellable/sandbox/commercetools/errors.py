"""The vendor's refusals with their bodies: {statusCode, message, errors: [{code, message, ...}]}.

Source: API description, types/error. Rule: `message` is the first error's.
"""

from typing import Any

from sellable.sandbox.commercetools.wire import Doc


class ApiError(Exception):
    """A refusal: HTTP status and one or more error objects, each with a code and a message."""

    def __init__(self, status: int, code: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.errors: list[Doc] = [{"code": code, "message": message, **extra}]

    def body(self) -> Doc:
        """The vendor's error body."""
        return {"statusCode": self.status, "message": self.errors[0]["message"], "errors": self.errors}


class AuthError(ApiError):
    """401, 403 or an OAuth refusal, whose body also carries `error` and `error_description`."""

    def body(self) -> Doc:
        code, message = self.errors[0]["code"], self.errors[0]["message"]
        return {**super().body(), "error": code, "error_description": message}


def invalid_input(message: str) -> ApiError:
    return ApiError(400, "InvalidInput", message)


def invalid_json(message: str) -> ApiError:
    return ApiError(400, "InvalidJsonInput", "Request body does not contain valid JSON.", detailedErrorMessage=message)


def invalid_field(field: str, value: Any, allowed: list[str]) -> ApiError:
    message = f"The value '{value}' is not valid for field '{field}'."
    return ApiError(400, "InvalidField", message, field=field, invalidValue=value, allowedValues=allowed)


def invalid_operation(message: str) -> ApiError:
    return ApiError(400, "InvalidOperation", message)


def required(field: str) -> ApiError:
    return ApiError(400, "RequiredField", f"A value is required for field '{field}'.", field=field)


def duplicate(field: str, value: Any, conflicting: Doc | None = None) -> ApiError:
    extra: Doc = {"field": field, "duplicateValue": value}
    if conflicting is not None:
        extra["conflictingResource"] = conflicting
    return ApiError(400, "DuplicateField", f"A duplicate value '{value}' exists for field '{field}'.", **extra)


def conflict(identity: str, sent: int, current: int) -> ApiError:
    message = f"Object {identity} has a different version than expected. Expected: {sent} - Actual: {current}."
    return ApiError(409, "ConcurrentModification", message, currentVersion=current, expectedVersion=sent)


def not_found(message: str = "The Resource was not found.") -> ApiError:
    return ApiError(404, "ResourceNotFound", message)


def reference_not_found(type_id: str, field: str, value: str) -> ApiError:
    message = f"The referenced object of type '{type_id}' with {field} '{value}' was not found."
    return ApiError(400, "ReferencedResourceNotFound", message, typeId=type_id, **{field: value})


def need(draft: Any, field: str, kind: type | tuple[type, ...]) -> Any:
    """The draft's value of that field; raises InvalidJsonInput when it is absent or of another type."""
    value = draft.get(field) if isinstance(draft, dict) else None
    wrong_bool = isinstance(value, bool) and kind is int
    if value is None or wrong_bool or not isinstance(value, kind):
        raise invalid_json(f"{field}: a value of another type is expected, got {value!r}")
    return value


def may(draft: Doc, field: str, kind: type | tuple[type, ...]) -> Any:
    """Like need(), but None when the field is absent or null."""
    return None if draft.get(field) is None else need(draft, field, kind)
