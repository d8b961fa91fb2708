"""Signed-in calls on one project. One rule: a call is made once, and a second time only after a 401.

A 401 proves that the call was not let in, so with a fresh token it may be made again; nothing else is repeated here.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from sellable.config.settings import Commercetools as Settings
from sellable.connectors.commercetools import wire
from sellable.connectors.kit import answers
from sellable.connectors.kit.answers import Said, Table
from sellable.connectors.kit.decode import document, lenient
from sellable.connectors.port import Conflict, Misconfigured, Refused, Unavailable, VendorError
from sellable.runtime.budgets import Budgets
from sellable.runtime.http import Answer, HttpPort, NotSent, OutcomeLost

VENDOR = "commercetools"
CREDENTIAL = "commercetools"
TOKEN_MARGIN = timedelta(seconds=60)
"""A token is renewed this long before it ends, or a tenth of its life if that is less."""

TOKEN_SECONDS_MAX = 30 * 86400
"""A token is renewed after a month, whatever its life is said to be."""

TABLE: Table = {
    (409, ""): Conflict,
    (0, "ConcurrentModification"): Conflict,
    (404, "ResourceNotFound"): Refused,
    (404, ""): Misconfigured,
    (408, ""): Unavailable,
    **{
        (0, code): Misconfigured
        for code in ("insufficient_scope", "invalid_client", "invalid_scope", "invalid_token", "unauthorized_client")
    },
    **{
        (0, code): Unavailable
        for code in (
            *("BadGateway", "ExtensionBadResponse", "ExtensionNoResponse", "General", "OverCapacity"),
            *("PendingOperation", "QueryTimedOut"),
        )
    },
}
"""Status and `errors[].code` to what the caller shall do (API description, Error)."""

_CORRELATION = re.compile(r"[A-Za-z0-9_.-]{8,256}")

Params = Sequence[tuple[str, str]]


class Session:
    """One API client of one project."""

    def __init__(self, http: HttpPort, budgets: Budgets | None, settings: Settings) -> None:
        """`budgets` hears of breached limits. Raises ForbiddenUrl for a base address that may not be called."""
        for base in (settings.api_url, settings.auth_url):
            http.allow(base, insecure=settings.insecure)
        self._http = http
        self._budgets = budgets
        self._settings = settings
        self._base = f"{settings.api_url.rstrip('/')}/{quote(settings.project, safe='')}"
        self._token: tuple[str, datetime] | None = None
        self._signing_in = asyncio.Lock()
        self.granted: tuple[str, ...] = ()
        """Scopes of the newest token."""
        self.latest: datetime | None = None
        """When the last answer came, by our clock."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        lane: str,
        params: Params = (),
        body: Any = None,
        correlation: str | None = None,
    ) -> Answer:
        """One call whose answer is a document. Raises the families of connectors.port, NotSent and OutcomeLost."""
        answer = await self.exchange(method, path, lane=lane, params=params, body=body, correlation=correlation)
        error = answers.verdict(answer, vendor=VENDOR, table=TABLE, says=says)
        if error is not None:
            raise error
        return answer

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        lane: str,
        params: Params = (),
        body: Any = None,
        correlation: str | None = None,
    ) -> Answer:
        """One call with whatever it answers.

        Raises NotSent and OutcomeLost; a VendorError only when no token was to be had, so that nothing was sent.
        """
        token = await self._signed_in(lane)
        answer = await self._once(method, path, token, lane, params, body, correlation)
        if answer.status == 401:
            token = await self._signed_in(lane, spent=token)
            answer = await self._once(method, path, token, lane, params, body, correlation)
        return answer

    async def graphql(
        self, query: str, variables: dict[str, Any], *, lane: str, correlation: str | None = None
    ) -> Answer:
        """One GraphQL request with whatever it answers; raises as `exchange`."""
        body = {"query": query, "variables": variables}
        return await self.exchange("POST", "graphql", lane=lane, body=body, correlation=correlation)

    async def _once(
        self, method: str, path: str, token: str, lane: str, params: Params, body: Any, correlation: str | None
    ) -> Answer:
        headers = {"authorization": f"Bearer {token}"}
        if correlation and _CORRELATION.fullmatch(correlation):
            headers["x-correlation-id"] = correlation
        answer = await self._http.call(
            method,
            f"{self._base}/{path}".rstrip("/"),
            lane=lane,
            credential=CREDENTIAL,
            headers=headers,
            params=list(params),
            json_body=body,
            correlation=correlation,
            operation=f"{method} {path.partition('/')[0] or 'project'}",
        )
        await self._heard(answer)
        return answer

    async def _signed_in(self, lane: str, spent: str | None = None) -> str:
        """A token other than the `spent` one; those who ask at the same time share one request."""
        async with self._signing_in:
            if self._token is not None:
                token, until = self._token
                if token != spent and (self.latest is None or self.latest < until):
                    return token
            self._token = None
            token, until = await self._sign_in(lane)
            self._token = (token, until)
            return token

    async def _sign_in(self, lane: str) -> tuple[str, datetime]:
        """One call: a new token and when to renew it."""
        settings = self._settings
        form = "grant_type=client_credentials"
        if settings.scopes:
            form += f"&scope={quote(' '.join(settings.scopes))}"
        secret = b64encode(f"{quote(settings.client_id)}:{quote(settings.client_secret)}".encode()).decode()
        try:
            answer = await self._http.call(
                "POST",
                f"{settings.auth_url.rstrip('/')}/oauth/token",
                lane=lane,
                credential=CREDENTIAL,
                headers={"authorization": f"Basic {secret}", "content-type": "application/x-www-form-urlencoded"},
                content=form.encode(),
                operation="POST token",
            )
        except OutcomeLost as lost:
            # A token nobody received has no effect: whatever it was wanted for was not sent.
            raise NotSent(f"no token: {lost}") from lost
        await self._heard(answer)
        error = answers.verdict(answer, vendor=VENDOR, table={**TABLE, (400, ""): Misconfigured}, says=says)
        if error is not None:
            raise error
        token = document(answer.body, wire.Token, vendor=VENDOR)
        self.granted = tuple(token.scope.split())
        life = timedelta(seconds=min(max(token.expires_in, 0), TOKEN_SECONDS_MAX))
        return token.access_token, answer.answered_at + life - min(TOKEN_MARGIN, life / 10)

    async def _heard(self, answer: Answer) -> None:
        self.latest = answer.answered_at
        if self._budgets is None:
            return
        if answer.status == 429:
            await self._budgets.breach(CREDENTIAL, answers.pause(answer.headers, answer.date))
        elif answer.status == 503:
            await self._budgets.unavailable(CREDENTIAL, answers.asked(answer.headers, answer.date))


def says(body: bytes) -> Said:
    """The first error of a body, of the HTTP API, of GraphQL or of the authorisation server."""
    found = lenient(body, wire.Problems, wire.Problems())
    if not found.errors:
        return Said(code=found.error, message=found.message)
    first = found.errors[0]
    extensions = first.get("extensions")
    code = first.get("code") or (extensions.get("code") if isinstance(extensions, dict) else "")
    message = str(first.get("message") or found.message)
    # Words and numbers are evidence enough; what is nested may be nested without end.
    plain = [{name: x for name, x in each.items() if isinstance(x, str | int | float)} for each in found.errors]
    return Said(code=str(code or ""), message=message, detail={"errors": plain})


def made_at(answer: Answer) -> datetime:
    """The platform's clock when it answered. Raises Unavailable without it: readings could not be compared."""
    if answer.date is None:
        raise Unavailable(f"{VENDOR}'s answer has no Date: something on the way removes it", code="no_date")
    return answer.date


def graph_data(answer: Answer) -> msgspec.Raw:
    """The data of a GraphQL read. Raises the family of its first error, whatever the status."""
    error = answers.verdict(answer, vendor=VENDOR, table=TABLE, says=says)
    if error is not None:
        raise error
    found = document(answer.body, wire.GraphAnswer, vendor=VENDOR)
    if found.errors or isinstance(found.data, msgspec.UnsetType):
        said = says(answer.body)
        family: type[VendorError] = answers.family_of(400, said.code, TABLE)
        raise family(f"{VENDOR}: {said.code}: {said.message}", code=said.code, detail=said.detail)
    return found.data
