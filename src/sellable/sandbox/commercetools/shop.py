"""One project with everything that acts in it, and its routes. Rule: a route parses, calls one thing and returns it."""

from collections.abc import Callable
from typing import Any

from sellable.sandbox.commercetools.carts import Carts
from sellable.sandbox.commercetools.catalogue import Catalogue, CustomObjects
from sellable.sandbox.commercetools.errors import ApiError, invalid_json, need, not_found
from sellable.sandbox.commercetools.extensions import Extensions
from sellable.sandbox.commercetools.graphql import GraphQL
from sellable.sandbox.commercetools.http import Call, page
from sellable.sandbox.commercetools.inventory import Inventory
from sellable.sandbox.commercetools.orders import Orders
from sellable.sandbox.commercetools.project import Project
from sellable.sandbox.commercetools.store import Collection
from sellable.sandbox.commercetools.subscriptions import Subscriptions
from sellable.sandbox.commercetools.updates import check_version
from sellable.sandbox.commercetools.wire import Doc, clone
from sellable.sandbox.outbound import Outbound

Answer = tuple[int, Any]
# Path word: (typeId, areas whose scopes open it), from the scope list of the API description.
RESOURCES: dict[str, tuple[str, tuple[str, ...]]] = {
    "inventory": ("inventory-entry", ("products",)),
    "carts": ("cart", ("orders",)),
    "orders": ("order", ("orders",)),
    "channels": ("channel", ("channels", "products")),
    "stores": ("store", ("stores",)),
    "shipping-methods": ("shipping-method", ("shipping_methods", "orders")),
    "zones": ("zone", ("zones", "orders", "products")),
    "types": ("type", ("types",)),
    "states": ("state", ("states", "orders")),
    "products": ("product", ("products",)),
    "product-types": ("product-type", ("products",)),
    "product-projections": ("product-projection", ("products", "published_products")),
    "tax-categories": ("tax-category", ("tax_categories", "products")),
    "subscriptions": ("subscription", ("subscriptions",)),
    "extensions": ("extension", ("extensions",)),
    "customers": ("customer", ("customers",)),
    "payments": ("payment", ("payments",)),
    "custom-objects": ("key-value-document", ("key_value_documents",)),
    "messages": ("message", ("messages",)),
    "graphql": ("graphql", ("products",)),
}
PROJECT_AREAS = ("project_settings",)


def areas(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The scope areas that open a path below the project; raises ResourceNotFound for an unknown one."""
    if not parts:
        return PROJECT_AREAS
    if parts[0] not in RESOURCES:
        raise not_found(f"The path '/{'/'.join(parts)}' was not found.")
    if parts[:2] == ("orders", "edits"):
        return ("order_edits", "orders")
    return RESOURCES[parts[0]][1]


class Shop:
    """A project's rooms joined."""

    def __init__(self, project: Project, outbound: Outbound) -> None:
        self.project = project
        self.inventory = Inventory(project)
        self.carts = Carts(project, self.inventory)
        self.orders = Orders(project, self.inventory, self.carts)
        self.catalogue = Catalogue(project)
        self.objects = CustomObjects(project)
        self.subscriptions = Subscriptions(project, outbound)
        self.extensions = Extensions(project, outbound)
        self.graphql = GraphQL(project, self.inventory)
        self._special: dict[str, Callable[[Call], Answer]] = {
            "messages": self._messages,
            "custom-objects": self._custom_objects,
            "graphql": self._graphql,
            "product-projections": self._projections,
        }

    async def answer(self, call: Call) -> Answer:
        """Status and JSON value of one authorised call; raises ApiError."""
        if not call.parts:
            return self._settings(call)
        if call.parts[0] in self._special:
            return self._special[call.parts[0]](call)
        if call.parts[0] == "orders":
            if call.method == "POST" and call.parts == ("orders",):
                return await self._order(call)
            if len(call.parts) > 1 and call.parts[1] in ("import", "edits"):
                return self._order_extras(call)
        return self._resource(call)

    def _resource(self, call: Call) -> Answer:
        type_id = RESOURCES[call.parts[0]][0]
        collection = self.project.collection(type_id)
        if len(call.parts) == 1:
            if call.method == "POST":
                return 201, self._create(type_id, call.body)
            return self._query(call, collection)
        if len(call.parts) > 2:
            raise not_found()
        doc = self._find(collection, call.parts[1])
        if call.method in ("GET", "HEAD"):
            return 200, doc
        if call.method == "POST":
            return 200, self._update(type_id, doc, call.body)
        if call.method == "DELETE":
            return 200, self._delete(type_id, doc, call.version())
        raise ApiError(405, "InvalidInput", f"{call.method} is not allowed here.")

    def _query(self, call: Call, collection: Collection) -> Answer:
        if call.method not in ("GET", "HEAD"):
            raise ApiError(405, "InvalidInput", f"{call.method} is not allowed here.")
        found = page(call, lambda w, s, limit, o, t: collection.query(w, s, limit, o, with_total=t))
        return (404 if call.method == "HEAD" and not found["results"] else 200), found

    def _find(self, collection: Collection, name: str) -> Doc:
        if name.startswith("key="):
            return collection.by_key(name[4:])
        if name.startswith("order-number=") and collection is self.project.orders:
            return self.orders.by_number(name[13:])
        return collection.by_id(name)

    def _create(self, type_id: str, body: Any) -> Doc:
        if type_id == "inventory-entry":
            return self.inventory.create(body)
        return self.carts.create(body) if type_id == "cart" else self.catalogue.create(type_id, body)

    def _update(self, type_id: str, doc: Doc, body: Any) -> Doc:
        match type_id:
            case "inventory-entry":
                return self.inventory.update(doc, body)
            case "cart":
                return self.carts.update(doc, body)
            case "order":
                return self.orders.update(doc, body)
        return self.catalogue.update(type_id, doc, body)

    def _delete(self, type_id: str, doc: Doc, version: int) -> Doc:
        match type_id:
            case "inventory-entry":
                return self.inventory.delete(doc, version)
            case "order":
                return self.orders.delete(doc, version)
            case "cart":
                for line in doc["lineItems"]:
                    self.inventory.release((line.get("reservation") or {}).get("id"))
        return self.catalogue.delete(type_id, doc, version)

    async def _order(self, call: Call) -> Answer:
        draft = call.body
        actor, order = self.project.actor, self.orders.prepare(draft)
        actions = await self.extensions.ask("order", "Create", order)
        # Other calls ran while the extension was asked.
        self.project.advance()
        self.project.actor = actor
        return 201, self.orders.place(draft, self.extensions.apply(order, actions, self.inventory))

    def _order_extras(self, call: Call) -> Answer:
        rest = call.parts[1:]
        edits = self.project.others["order-edit"]
        match call.method, rest:
            case "POST", ("import",):
                return 201, self.orders.import_order(call.body)
            case "POST", ("edits",):
                return 201, self.orders.create_edit(call.body)
            case "GET", ("edits",):
                return self._query(call, edits)
            case "GET", ("edits", name):
                return 200, self._find(edits, name)
            case "POST", ("edits", name, "apply"):
                return 200, self.orders.apply_edit(self._find(edits, name), call.body)
        raise not_found()

    def _messages(self, call: Call) -> Answer:
        log = self.project.messages
        if call.method != "GET" or len(call.parts) > 2:
            raise not_found()
        if len(call.parts) == 2:
            message = log.get(call.parts[1])
            if message is None:
                raise not_found()
            return 200, message
        return 200, page(call, lambda w, s, limit, o, t: log.query(w, s, limit, o, with_total=t))

    def _projections(self, call: Call) -> Answer:
        projections = self.project.projections
        if len(call.parts) == 2:
            return 200, self.catalogue.available(self._find(projections, call.parts[1]))
        status, found = self._query(call, projections)
        return status, {**found, "results": [self.catalogue.available(doc) for doc in found["results"]]}

    def _custom_objects(self, call: Call) -> Answer:
        collection = self.project.collection("key-value-document")
        match call.method, call.parts[1:]:
            case "POST", ():
                return 200, self.objects.put(call.body)
            case "GET", ():
                return self._query(call, collection)
            case "GET", (container, key):
                return 200, self.objects.get(container, key)
            case "DELETE", (container, key):
                version = None if call.one("version") is None else call.version()
                return 200, self.objects.delete(container, key, version)
        raise not_found()

    def _graphql(self, call: Call) -> Answer:
        if call.method != "POST" or len(call.parts) > 1:
            raise not_found()
        body = call.body
        return self.graphql.run(need(body, "query", str), body.get("variables") or {}, body.get("operationName"))

    def _settings(self, call: Call) -> Answer:
        """GET and POST of the project: its message and inventory settings."""
        project = self.project
        if call.method == "POST":
            body = call.body
            check_version({"id": project.key, "version": project.version}, body.get("version"))
            settings = clone(project.settings)
            for action in need(body, "actions", list):
                _change_setting(settings, action)
            if settings != project.settings:
                project.settings, project.version = settings, project.version + 1
                days = settings["messages"]["deleteDaysAfterCreation"]
                project.switches.retention_days = days
        facts = {"key": project.key, "version": project.version, "createdAt": project.created}
        return 200, {**facts, **project.settings}


def _change_setting(settings: Doc, action: Doc) -> None:
    match need(action, "action", str):
        case "changeMessagesEnabled":
            settings["messages"]["enabled"] = need(action, "messagesEnabled", bool)
        case "changeMessagesConfiguration":
            configuration = need(action, "messagesConfiguration", dict)
            days = need(configuration, "deleteDaysAfterCreation", int)
            settings["messages"] = {"enabled": need(configuration, "enabled", bool), "deleteDaysAfterCreation": days}
        case "setReservationExpirationInMinutes":
            name = "reservationExpirationInMinutes"
            settings["inventory"].pop(name, None)
            if action.get(name) is not None:
                settings["inventory"][name] = need(action, name, int)
        case "setReleaseExpiredReservations":
            settings["inventory"]["releaseExpiredReservations"] = need(action, "releaseExpiredReservations", bool)
        case other:
            raise invalid_json(f"actions: the update action '{other}' is unknown for a project")
