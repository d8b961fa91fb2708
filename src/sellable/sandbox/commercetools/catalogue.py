"""The simpler resources: channels, types, states, taxes, products, subscriptions and so on.

Rule: a draft is checked for what the simulator relies on and otherwise kept as it came.
"""

from typing import Any

from sellable.sandbox.commercetools.custom import custom_fields, set_custom_field, set_custom_type
from sellable.sandbox.commercetools.errors import duplicate, invalid_field, invalid_json, need
from sellable.sandbox.commercetools.money import parse_money
from sellable.sandbox.commercetools.project import SKU, Project
from sellable.sandbox.commercetools.store import KEY
from sellable.sandbox.commercetools.updates import Action, Edit, check_version, edit_copy, update
from sellable.sandbox.commercetools.wire import Doc

ROLES = ("InventorySupply", "ProductDistribution", "OrderExport", "OrderImport", "Primary")
REQUIRED: dict[str, dict[str, type]] = {
    "channel": {"key": str},
    "store": {"key": str},
    "type": {"key": str, "name": dict, "resourceTypeIds": list},
    "state": {"key": str, "type": str},
    "tax-category": {"name": str},
    "zone": {"name": str},
    "shipping-method": {"name": str, "taxCategory": dict, "zoneRates": list},
    "product-type": {"name": str, "description": str},
    "product": {"name": dict, "slug": dict, "productType": dict},
    "subscription": {"destination": dict},
    "extension": {"destination": dict, "triggers": list},
    "customer": {"email": str},
    "payment": {"amountPlanned": dict},
}
SETTABLE = {
    "channel": ("key", "name", "description", "address", "geoLocation", "roles"),
    "store": ("name", "languages", "countries", "supplyChannels", "distributionChannels"),
    "type": ("key", "name", "description"),
    "state": ("key", "name", "description", "transitions", "initial", "roles"),
    "tax-category": ("key", "name", "description"),
    "zone": ("key", "name", "description"),
    "shipping-method": ("key", "name", "isDefault", "predicate"),
    "subscription": ("key", "messages", "changes", "events", "destination"),
    "extension": ("key", "triggers", "destination", "timeoutInMs", "additionalContext"),
    "customer": ("email", "firstName", "lastName", "key"),
    "payment": ("key", "interfaceId"),
}


class Catalogue:
    """Generic resources of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def create(self, type_id: str, draft: Any) -> Doc:
        """POST /{resources}; raises the vendor's refusals."""
        collection = self.project.collection(type_id)
        for field, kind in REQUIRED.get(type_id, {}).items():
            need(draft, field, kind)
        if draft.get("key") is not None and collection.by(KEY, draft["key"]):
            raise duplicate("key", draft["key"])
        fields: Doc = {name: value for name, value in draft.items() if value is not None and name != "custom"}
        if (custom := custom_fields(self.project, draft.get("custom"), type_id)) is not None:
            fields["custom"] = custom
        shape = getattr(self, "_" + type_id.replace("-", "_"), None)
        if shape is not None:
            shape(fields)
        doc = self.project.create(collection, fields)
        if type_id == "product":
            self._index(doc)
            self.project.messages.emit("product", doc, "ProductCreated", productProjection=self.projection(doc))
            if doc["masterData"]["published"]:
                self._published(doc)
        return doc

    def update(self, type_id: str, doc: Doc, body: Any) -> Doc:
        """POST /{resources}/{id}: setX and changeX of the plain fields, and the few named below."""
        edit = edit_copy(self.project, self.project.collection(type_id), doc)
        table: dict[str, Action] = {
            "setCustomType": lambda e, a: set_custom_type(self.project, e.doc, a, type_id),
            "setCustomField": lambda e, a: set_custom_field(self.project, e.doc, a),
        }
        for name in SETTABLE.get(type_id, ()):
            for verb in ("set", "change"):
                table[verb + name[0].upper() + name[1:]] = self._setter(type_id, name)
        if type_id == "channel":
            table |= {"addRoles": _add_roles, "removeRoles": _remove_roles}
        if type_id == "type":
            table["addFieldDefinition"] = _add_field
        if type_id == "product":
            table |= {"publish": self._publish(True), "unpublish": self._publish(False)}
        done = update(edit, body, table)
        if type_id == "product":
            self._index(done)
        return done

    def delete(self, type_id: str, doc: Doc, version: Any) -> Doc:
        """DELETE /{resources}/{id}?version=."""
        check_version(doc, version)
        self.project.collection(type_id).remove(doc["id"])
        if type_id == "product":
            self.project.projections.remove(doc["id"])
            self.project.messages.emit("product", doc, "ProductDeleted", removedImageUrls=[])
        return doc

    def _setter(self, type_id: str, name: str) -> Action:
        def apply(edit: Edit, action: Doc) -> None:
            edit.doc.pop(name, None)
            if action.get(name) is not None:
                edit.doc[name] = action[name]
            shape = getattr(self, "_" + type_id.replace("-", "_"), None)
            if shape is not None:
                shape(edit.doc)

        return apply

    # --- shapes of drafts ----------------------------------------------------------------------------------------

    def _channel(self, fields: Doc) -> None:
        fields.setdefault("roles", ["InventorySupply"])
        for role in fields["roles"]:
            if role not in ROLES:
                raise invalid_field("roles", role, list(ROLES))

    def _store(self, fields: Doc) -> None:
        for name in ("supplyChannels", "distributionChannels"):
            fields[name] = [self.project.refer(channel, "channel") for channel in fields.get(name, [])]

    def _type(self, fields: Doc) -> None:
        fields.setdefault("fieldDefinitions", [])

    def _state(self, fields: Doc) -> None:
        fields.setdefault("roles", [])
        fields.setdefault("initial", False)
        fields.setdefault("builtIn", False)
        if "transitions" in fields:
            fields["transitions"] = [self.project.refer(target, "state") for target in fields["transitions"]]

    def _tax_category(self, fields: Doc) -> None:
        rates = fields.get("rates", [])
        fields["rates"] = [
            {"id": self.project.new_id(), "includedInPrice": False, "subRates": [], **rate} for rate in rates
        ]
        for rate in rates:
            need(rate, "name", str)
            need(rate, "country", str)

    def _shipping_method(self, fields: Doc) -> None:
        fields["taxCategory"] = self.project.refer(fields["taxCategory"], "tax-category")
        for zone_rate in fields["zoneRates"]:
            for rate in zone_rate["shippingRates"]:
                rate["price"] = parse_money(rate["price"])
                rate.setdefault("tiers", [])

    def _extension(self, fields: Doc) -> None:
        if fields["destination"].get("type") != "HTTP":
            raise invalid_json("destination: this simulator calls HTTP destinations only")

    def _subscription(self, fields: Doc) -> None:
        fields.setdefault("messages", [])
        fields.setdefault("changes", [])
        fields.setdefault("events", [])
        fields.setdefault("format", {"type": "Platform"})
        fields.setdefault("status", "Healthy")

    def _product(self, fields: Doc) -> None:
        if "masterData" in fields:
            return
        fields["productType"] = self.project.refer(fields["productType"], "product-type")
        if "taxCategory" in fields:
            fields["taxCategory"] = self.project.refer(fields["taxCategory"], "tax-category")
        drafts = [fields.pop("masterVariant", {}), *fields.pop("variants", [])]
        variants = [self._variant(number, draft) for number, draft in enumerate(drafts, 1)]
        data: Doc = {"name": fields.pop("name"), "slug": fields.pop("slug"), "categories": [], "searchKeywords": {}}
        data |= {"masterVariant": variants[0], "variants": variants[1:], "attributes": []}
        published = bool(fields.pop("publish", False))
        fields["masterData"] = {"published": published, "hasStagedChanges": False, "current": data, "staged": data}

    def _variant(self, number: int, draft: Doc) -> Doc:
        sku = draft.get("sku")
        if sku is not None and (sku in self.project.skus):
            raise duplicate("sku", sku)
        prices = [
            {"id": self.project.new_id(), **price, "value": parse_money(price["value"])}
            for price in draft.get("prices", [])
        ]
        variant: Doc = {"id": number, "prices": prices, "images": [], "attributes": draft.get("attributes", [])}
        for name in ("sku", "key"):
            if draft.get(name) is not None:
                variant[name] = draft[name]
        return {**variant, "assets": []}

    # --- products ------------------------------------------------------------------------------------------------

    def _index(self, product: Doc) -> None:
        data = product["masterData"]["current"]
        for variant in (data["masterVariant"], *data["variants"]):
            if "sku" in variant:
                self.project.skus[variant["sku"]] = (product["id"], variant["id"])
        projection = self.projection(product)
        if product["id"] in self.project.projections.docs:
            self.project.projections.replace(projection)
        else:
            self.project.projections.add(projection)

    def projection(self, product: Doc) -> Doc:
        """The current ProductProjection of a product, without availability."""
        own = ("id", "version", "key", "createdAt", "lastModifiedAt", "productType", "taxCategory")
        facts = {name: product[name] for name in own if name in product}
        data = product["masterData"]
        return {**facts, **data["current"], "published": data["published"], "hasStagedChanges": False}

    def available(self, projection: Doc) -> Doc:
        """A projection with each variant's availability of the channel-less entry and of every channel."""
        return {
            **projection,
            "masterVariant": self._available(projection["masterVariant"]),
            "variants": [self._available(variant) for variant in projection["variants"]],
        }

    def _available(self, variant: Doc) -> Doc:
        availability: Doc = {}
        for entry in self.project.inventory.by(SKU, variant.get("sku")):
            quantity = entry["availableQuantity"]
            facts = {"isOnStock": quantity > 0, "availableQuantity": quantity}
            facts |= {name: entry[name] for name in ("id", "version", "restockableInDays") if name in entry}
            if "supplyChannel" in entry:
                availability.setdefault("channels", {})[entry["supplyChannel"]["id"]] = facts
            else:
                availability |= facts
        return {**variant, "availability": availability} if availability else variant

    def _publish(self, published: bool) -> Action:
        def apply(edit: Edit, action: Doc) -> None:
            edit.doc["masterData"]["published"] = published
            if published:
                edit.after.append(self._published)
            else:
                edit.emit("ProductUnpublished")

        return apply

    def _published(self, product: Doc) -> None:
        self.project.messages.emit(
            "product", product, "ProductPublished",
            productProjection=self.projection(product), removedImageUrls=[], scope="All",
        )  # fmt: skip


def _add_roles(edit: Edit, action: Doc) -> None:
    edit.doc["roles"] += [role for role in need(action, "roles", list) if role not in edit.doc["roles"]]


def _remove_roles(edit: Edit, action: Doc) -> None:
    edit.doc["roles"] = [role for role in edit.doc["roles"] if role not in need(action, "roles", list)]


def _add_field(edit: Edit, action: Doc) -> None:
    definition = need(action, "fieldDefinition", dict)
    if any(d["name"] == definition["name"] for d in edit.doc["fieldDefinitions"]):
        raise duplicate("name", definition["name"])
    edit.doc["fieldDefinitions"].append(definition)


class CustomObjects:
    """/custom-objects/{container}/{key}: upserts, with compare-and-set when a version is sent."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._collection = project.others["key-value-document"]
        self._at: dict[tuple[str, str], str] = {}

    def get(self, container: str, key: str) -> Doc:
        """One object; raises ResourceNotFound."""
        return self._collection.by_id(self._at.get((container, key), f"{container}/{key}"))

    def put(self, draft: Any) -> Doc:
        """POST /custom-objects {container, key, value, version?}; raises ConcurrentModification."""
        container, key = need(draft, "container", str), need(draft, "key", str)
        identity = self._at.get((container, key))
        if identity is None:
            fields = {"container": container, "key": key, "value": draft.get("value")}
            doc = self._project.create(self._collection, fields)
            self._at[container, key] = doc["id"]
            return doc
        doc = self._collection.docs[identity]
        if draft.get("version") is not None:
            check_version(doc, draft["version"])
        return self._project.save(self._collection, {**doc, "value": draft.get("value")})

    def delete(self, container: str, key: str, version: int | None) -> Doc:
        """DELETE with an optional version."""
        doc = self.get(container, key)
        if version is not None:
            check_version(doc, version)
        self._collection.remove(doc["id"])
        del self._at[container, key]
        return doc
