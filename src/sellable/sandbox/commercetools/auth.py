"""Tokens and scopes. Rule: a token opens only the project and the areas its scopes name."""

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import parse_qs

from sellable.sandbox.commercetools.errors import AuthError
from sellable.sandbox.commercetools.project import Project
from sellable.sandbox.commercetools.wire import Doc


@dataclass(frozen=True, kw_only=True)
class Client:
    """An API client: scopes are full texts such as manage_orders:shop."""

    id: str
    secret: str
    scopes: frozenset[str]
    project: Project


@dataclass(frozen=True, kw_only=True)
class Token:
    client: Client
    scopes: frozenset[str]
    expires: float


class Auth:
    """The authorization server of all projects."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.tokens: dict[str, Token] = {}

    def register(self, project: Project, identity: str, secret: str, scopes: list[str]) -> None:
        """An API client; scopes without a project get this one's, none at all means manage_project."""
        full = frozenset(s if ":" in s else f"{s}:{project.key}" for s in scopes or ["manage_project"])
        self.clients[identity] = Client(id=identity, secret=secret, scopes=full, project=project)

    def issue(self, authorization: str, form: bytes) -> Doc:
        """POST /oauth/token with grant_type=client_credentials; raises AuthError."""
        client = self._client(authorization)
        fields = {name: values[-1] for name, values in parse_qs(form.decode("latin-1")).items()}
        if fields.get("grant_type") != "client_credentials":
            message = f"Invalid parameter: grant_type: Invalid grant type: {fields.get('grant_type')}"
            raise AuthError(400, "unsupported_grant_type", message)
        asked = frozenset(fields.get("scope", "").split()) or client.scopes
        if not all(_covered(scope, client.scopes) for scope in asked):
            raise AuthError(400, "invalid_scope", f"Invalid scope for client '{client.id}': {' '.join(sorted(asked))}")
        seconds, project = client.project.switches.oauth_seconds, client.project
        text = f"{project.random.getrandbits(192):048x}"
        self.tokens[text] = Token(client=client, scopes=asked, expires=project.clock.time() + seconds)
        scope = " ".join(sorted(asked))
        return {"access_token": text, "expires_in": int(seconds), "scope": scope, "token_type": "Bearer"}

    def introspect(self, authorization: str, form: bytes) -> Doc:
        """POST /oauth/introspect with token=; raises AuthError."""
        self._client(authorization)
        token = self.tokens.get(parse_qs(form.decode("latin-1")).get("token", [""])[-1])
        if token is None or token.expires <= token.client.project.clock.time():
            return {"active": False}
        facts = {"scope": " ".join(sorted(token.scopes)), "client_id": token.client.id}
        return {"active": True, **facts, "exp": int(token.expires * 1000)}

    def check(self, authorization: str, project: Project, areas: tuple[str, ...], *, write: bool) -> Token:
        """The caller's token, when it is alive and covers one of the areas; raises AuthError 401 or 403."""
        token = self.find(authorization)
        if token is None or token.expires <= project.clock.time():
            raise AuthError(401, "invalid_token", "invalid_token")
        names = [f"manage_{area}" for area in areas] + ([] if write else [f"view_{area}" for area in areas])
        wanted = {f"{name}:{project.key}" for name in (*names, "manage_project")}
        if not wanted & token.scopes:
            asked = " ".join(sorted(wanted))
            message = f"Insufficient scope. One of the following scopes is missing: {asked}."
            raise AuthError(403, "insufficient_scope", message)
        return token

    def find(self, authorization: str) -> Token | None:
        """The token of a Bearer header, alive or not."""
        return self.tokens.get(authorization[7:]) if authorization[:7].lower() == "bearer " else None

    def _client(self, authorization: str) -> Client:
        try:
            kind, _, encoded = authorization.partition(" ")
            identity, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            kind, identity, secret = "", "", ""
        client = self.clients.get(identity)
        if kind.lower() != "basic" or client is None or client.secret != secret:
            message = "Please provide valid client credentials using HTTP Basic Authentication."
            raise AuthError(401, "invalid_client", message)
        return client


def _covered(scope: str, owned: frozenset[str]) -> bool:
    name, _, project = scope.partition(":")
    manage = name.replace("view_", "manage_", 1)
    return bool({scope, f"{manage}:{project}", f"manage_project:{project.split(':')[0]}"} & owned)
