"""Good inputs, one of each shape; the mutators spoil them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from sellable.sandbox.shop import Shop


def _json(*documents: Any) -> tuple[bytes, ...]:
    return tuple(msgspec.json.encode(document) for document in documents)


def called(status: int, bodies: Sequence[bytes]) -> tuple[bytes, ...]:
    """Each body as the answer to each of four calls, once as success and once as an error of each family."""
    good = [bytes([call, status]) + body for body in bodies for call in range(4)]
    bad = [bytes([0, each]) + bodies[0] for each in range(2, 12)]
    limits = [bytes([0, 7]) + b"retry-after: 60 Seconds\nx: y\n\n" + bodies[0]]
    return (*good, *bad, *limits)


# --- commercetools ---------------------------------------------------------------------------------------------------


def _money(cents: int) -> dict[str, Any]:
    return {"type": "centPrecision", "currencyCode": "EUR", "centAmount": cents, "fractionDigits": 2}


_RATE = {"name": "19 %", "amount": 0.19, "includedInPrice": True, "country": "DE"}
_TAXED = {
    "totalNet": _money(20000),
    "totalGross": _money(23800),
    "taxPortions": [{"rate": 0.19, "name": "19 %", "amount": _money(3800)}],
}
_LINE = {
    "id": "line-1",
    "name": {"de": "Sessel", "en": "Armchair"},
    "variant": {"id": 1, "sku": "CRUNCHY-ARMCHAIR"},
    "price": {"value": _money(11900), "discounted": {"value": _money(11000)}},
    "quantity": 2,
    "totalPrice": _money(23800),
    "discountedPricePerQuantity": [{"quantity": 2, "discountedPrice": {"value": _money(11900)}}],
    "taxedPrice": _TAXED,
    "taxRate": _RATE,
    "perMethodTaxRate": [{"taxRate": _RATE}],
    "supplyChannel": {"typeId": "channel", "id": "ch-web"},
    "inventoryMode": "ReserveOnOrder",
    "key": "k1",
    "custom": {"fields": {"parent": "k0"}},
    "shippingDetails": {"targets": [{"shippingMethodKey": "parcel"}]},
}
_ADDRESS = {"firstName": "Ada", "lastName": "L", "streetName": "Weg", "city": "Berlin", "country": "DE", "pOBox": "1"}
_ORDER = {
    "type": "Order",
    "id": "order-1",
    "version": 4,
    "createdAt": "2026-11-21T10:00:00.123Z",
    "lastModifiedAt": "2026-11-21T10:00:05.000Z",
    "orderNumber": "W-1",
    "lineItems": [_LINE],
    "customLineItems": [{"id": "c1", "quantity": 1, "totalPrice": _money(-500), "name": {"en": "Gift"}}],
    "totalPrice": _money(23800),
    "taxedPrice": _TAXED,
    "inventoryMode": "ReserveOnOrder",
    "taxRoundingMode": "HalfUp",
    "taxCalculationMode": "UnitPriceLevel",
    "orderState": "Open",
    "shippingAddress": _ADDRESS,
    "billingAddress": _ADDRESS,
    "shippingInfo": {
        "price": _money(490),
        "shippingMethodName": "Parcel",
        "deliveries": [{"key": "d0", "parcels": [{"key": "p-1", "trackingData": {"trackingId": "1Z"}}]}],
    },
    "discountOnTotalPrice": {"discountedAmount": _money(10)},
    "customerEmail": "ada@example.com",
    "locale": "de-AT",
    "syncInfo": [{"channel": {"typeId": "channel", "id": "ch-out"}, "externalId": "SO-1"}],
    "returnInfo": [{"items": [{"quantity": 1, "shipmentState": "BackInStock", "lineItemId": "line-1"}]}],
    "cart": {"typeId": "cart", "id": "cart-1"},
    "store": {"typeId": "store", "key": "berlin"},
    "strange": 1,
}
_PRECISE = {"type": "highPrecision", "currencyCode": "EUR", "preciseAmount": 1234567, "fractionDigits": 5}
_SHIPPING = {"shippingKey": "s1", "shippingInfo": {"price": _money(490)}, "shippingAddress": _ADDRESS}
ORDERS = _json(
    _ORDER,
    _ORDER | {"shippingMode": "Multiple", "shipping": [_SHIPPING], "shippingInfo": None},
    _ORDER | {"lineItems": [_LINE | {"totalPrice": _PRECISE}], "orderState": "Cancelled", "shipmentState": "Partial"},
)
_PLAIN_TAXED = {
    "totalNet": _money(20000),
    "totalGross": _money(23800),
    "taxPortions": [{"rate": 0.19, "name": "19 %", "amount": _money(3800)}],
}
_PLAIN_LINE = {
    "id": "line-1",
    "name": {"en": "Armchair"},
    "variant": {"sku": "CRUNCHY-ARMCHAIR"},
    "price": {"value": _money(11900)},
    "quantity": 2,
    "totalPrice": _money(23800),
    "taxedPrice": _PLAIN_TAXED,
    "taxRate": _RATE,
    "supplyChannel": {"typeId": "channel", "id": "ch-web"},
}
_PLAIN = {
    "id": "order-1",
    "version": 1,
    "createdAt": "2026-11-21T10:00:00.123Z",
    "lastModifiedAt": "2026-11-21T10:00:05.000Z",
    "lineItems": [_PLAIN_LINE],
    "totalPrice": _money(23800),
    "taxedPrice": _PLAIN_TAXED,
    "orderState": "Open",
    "shippingAddress": _ADDRESS,
    "customerEmail": "ada@example.com",
    "orderNumber": "W-1",
}
PLAIN_ORDERS = _json(_PLAIN, _PLAIN | {"taxCalculationMode": "UnitPriceLevel", "taxRoundingMode": "HalfDown"})
CHANNELS = _json({"results": [{"id": "ch-web", "key": "web", "roles": []}, {"id": "ch-out", "key": "out"}]})[0]
_TYPE = {
    "id": "t1",
    "key": "sellable-stock",
    "version": 1,
    "resourceTypeIds": ["inventory-entry"],
    "fieldDefinitions": [{"name": "lastOp", "type": {"name": "String"}}],
}
TYPES = _json({"results": [_TYPE]})[0]
_MESSAGE = {
    "id": "m1",
    "type": "OrderCreated",
    "createdAt": "2026-11-21T10:00:00.123Z",
    "version": 1,
    "resource": {"typeId": "order", "id": "order-1"},
    "order": _ORDER,
}
_SET = {
    "id": "m2",
    "type": "InventoryEntryQuantitySet",
    "createdAt": "2026-11-21T10:00:00.123Z",
    "resourceVersion": 3,
    "resource": {"typeId": "inventory-entry", "id": "e1"},
    "oldQuantityOnStock": 1,
    "newQuantityOnStock": 4,
}
_NEW = {
    "id": "m3",
    "type": "InventoryEntryCreated",
    "createdAt": "2026-11-21T10:00:00.123Z",
    "resource": {"typeId": "inventory-entry", "id": "e1"},
    "inventoryEntry": {"id": "e1", "sku": "A"},
}
MESSAGES = _json(_MESSAGE, _SET, _NEW)
_CHANGE = {
    "notificationType": "ResourceUpdated",
    "resource": {"typeId": "inventory-entry", "id": "e1"},
    "version": 8,
    "modifiedAt": "2026-11-21T10:00:00.000Z",
}
_PUSH = {"notificationType": "Message", **_MESSAGE}
_HEAD = b"path-token\nauthorization: Bearer a-long-secret-word\ncontent-type: application/json\n\n"
CT_PUSHED = tuple(
    _HEAD + body for body in _json(_PUSH, [_PUSH, _CHANGE], {"specversion": "1.0", "id": "x", "data": _PUSH})
)
_ENTRY = {
    "id": "e1",
    "version": 3,
    "sku": "A",
    "quantityOnStock": 4,
    "availableQuantity": 3,
    "restockableInDays": 2,
    "supplyChannel": {"typeId": "channel", "id": "ch-web"},
    "custom": {"type": {"id": "t1"}, "fields": {"lastOp": "op"}},
}
ENTRIES = _json({"results": [_ENTRY]}, _ENTRY)
_GRAPH = {
    "id": "e1",
    "version": 3,
    "sku": "A",
    "quantityOnStock": 4,
    "availableQuantity": 3,
    "supplyChannelRef": {"id": "ch-web"},
    "custom": {"typeRef": {"id": "t1"}, "customFieldsRaw": [{"name": "lastOp", "value": "op"}]},
}
_WRITTEN = {"id": "e0", "version": 4, "quantityOnStock": 3}
_TOO_COMPLEX = {"errors": [{"message": "no", "extensions": {"code": "QueryComplexityLimitExceeded"}}]}
GRAPH = _json(
    {"data": {"inventoryEntries": {"results": [_GRAPH]}}},
    {"data": {"w0": _WRITTEN, "w1": None}, "errors": [{"message": "no", "path": ["w1"], "extensions": {"code": "X"}}]},
    _TOO_COMPLEX,
)
FEEDS = _json({"results": [_MESSAGE, _SET]}, {"results": [_ORDER]}, _ORDER)
_ERROR = {"statusCode": 409, "message": "no", "errors": [{"code": "ConcurrentModification", "message": "no"}]}
WRITTEN = _json(_WRITTEN, _ERROR)
TOKENS = _json({"access_token": "t", "expires_in": 172800, "scope": "x"}, {"error": "invalid_client", "message": "no"})
SETUP = _json(
    {
        **_TYPE,
        "roles": ["OrderExport"],
        "name": {"en": "x"},
        "messages": {"enabled": True, "deleteDaysAfterCreation": 15},
    },
)

# --- Cin7 Core -------------------------------------------------------------------------------------------------------

SALE_ID = "0f0e6a6e-0000-4000-8000-000000000001"
_ROW = {
    "SKU": "CRUNCHY-ARMCHAIR",
    "Location": "Main Warehouse",
    "Bin": "A1",
    "Batch": "",
    "ExpiryDate": "2027-01-31T00:00:00",
    "OnHand": 10.0,
    "Allocated": 3,
    "Available": 7,
    "OnOrder": 0,
    "StockOnHand": 1.5,
}
_PRODUCT = {
    "SKU": "TEA-SET",
    "Name": "Tea set",
    "Type": "Stock",
    "Status": "Active",
    "Sellable": True,
    "BillOfMaterial": True,
    "AutoAssembly": True,
    "QuantityToProduce": 1.0,
    "BillOfMaterialsProducts": [{"ProductCode": "CUP", "Quantity": 2.0, "WastagePercent": 0}],
}
_TRANSFER = {"TaskID": SALE_ID, "Status": "COMPLETED", "LastModifiedOn": "2026-11-21T09:58:07.0000000Z"}
STOCK = _json(
    {"Total": 1, "Page": 1, "ProductAvailabilityList": [_ROW]},
    {"Total": 1, "Page": 1, "StockTransferList": [_TRANSFER], **_TRANSFER, "Lines": [{"SKU": "A"}]},
    {"Total": 1, "Page": 1, "Products": [_PRODUCT]},
)
TRANSFERS = (
    *_json(_TRANSFER),
    b"\n".join(
        _json(_TRANSFER, {**_TRANSFER, "Status": "DRAFT"}, {"TaskID": "x", "LastModifiedOn": "2026-11-21T10:00:00"})
    ),
)
_GOODS = [{"SKU": "CRUNCHY-ARMCHAIR", "Quantity": 2.0, "Box": "Box 1"}]
_PARCEL = {
    "ID": "p1",
    "ShipmentDate": "2026-11-21T00:00:00",
    "Boxes": "Box 1",
    "TrackingNumber": "1Z",
    "IsShipped": True,
}
_ORDERED = {
    "SaleID": SALE_ID,
    "SaleOrderNumber": "SO-1",
    "Status": "AUTHORISED",
    "Lines": [{"SKU": "CRUNCHY-ARMCHAIR", "Quantity": 2.0, "BackorderQuantity": 0.0}],
    "TotalBeforeTax": 200.0,
    "Tax": 38.0000,
    "Total": 238.0,
}
_SALE = {
    "ID": SALE_ID,
    "Status": "ORDERED",
    "Location": "Main Warehouse",
    "CustomerCurrency": "EUR",
    "ExternalID": "shop:o1:1",
    "LastModifiedOn": "2026-11-21T09:58:07Z",
    "CombinedPickingStatus": "PICKED",
    "Order": _ORDERED,
    "Fulfilments": [
        {
            "TaskID": "f1",
            "FulFilmentStatus": "FULFILLED",
            "Pick": {"Status": "AUTHORISED", "Lines": _GOODS},
            "Pack": {"Status": "AUTHORISED", "Lines": _GOODS},
            "Ship": {"Status": "AUTHORISED", "Lines": [_PARCEL]},
        }
    ],
}
_LISTED = {
    "SaleID": SALE_ID,
    "OrderNumber": "SO-1",
    "ExternalID": "shop:o1:1",
    "Status": "ORDERED",
    "OrderStatus": "AUTHORISED",
    "Updated": "2026-11-21T09:58:07.123Z",
    "CombinedPickingStatus": "PICKED",
    "CombinedShippingStatus": "NOT SHIPPED",
}
SALES = _json(_SALE, {"Total": 1, "Page": 1, "SaleList": [_LISTED]})
ORDERED = _json({"ID": SALE_ID, **_ORDERED}, {**_ORDERED, "Status": "DRAFT"})
REFERENCE = _json(
    {"Company": "Crunchy Ltd", "Currency": "EUR", "AutomaticallyApplyDiscounts": False},
    {
        "Total": 1,
        "Page": 1,
        "LocationList": [{"ID": SALE_ID, "Name": "Main Warehouse", "Bins": [{"Name": "A1", "IsDeprecated": False}]}],
    },
    {"Total": 1, "Page": 1, "TaxRuleList": [{"Name": "DE 19%", "TaxPercent": 19.0, "TaxInclusive": True}]},
    {"Webhooks": [{"ID": "w1", "Type": "Sale/Undo", "IsActive": True, "ExternalURL": "https://us.example/"}]},
)
ERRORS = (
    *_json([{"ErrorCode": 400, "Exception": "Sale not found"}], {"ErrorCode": "429", "Exception": "limit"}, _ERROR),
    b"<!doctype html><title>Sign in</title>",
    b'{"ErrorCode":"42r9","Exception":"no"}',
    b'"You have reached 60 calls per 60 seconds API limit."',
    *_json(_TOO_COMPLEX, {"error": "invalid_token", "error_description": "x"}),
)
_SECRET = b"authorization: Bearer a-long-secret-word\n\n"
CIN7_PUSHED = (
    b"path-token\n" + _SECRET + b'{"EventType":"Sale/OrderAuthorized","SaleID":"' + SALE_ID.upper().encode() + b'"}',
    b"path-token\n" + _SECRET + b'[{"SKU":"CRUNCHY \\"ARMCHAIR\\"","Available":3}, {"sku":"B"}]',
    b'path-token\nauthorization: Basic dTphLWxvbmctc2VjcmV0LXdvcmQ=\n\n{ "SaleTaskID" : "x", \'OrderNumber\': "SO-1" }',
    b'path-token\nx-sellable-token: a-long-secret-word\n\nnot json "OrderNumber":"SO-1"',
)
_XML = b'<?xml version="1.0" encoding="UTF-8"?>'
OF_DOCUMENTS = tuple(
    _XML + each
    for each in (
        b'<inventory><product externalReference="A" site="Leeds DC" total="9" allocated="2" available="6" frozen="1"'
        b' onOrder="40" damaged="0" lastStockChangeId="12"/><product externalReference="B" total="-1"/></inventory>',
        b'<order externalReference="shop:o1:1" state="created"><shipments><shipment state="ready" site="Leeds DC"/>'
        b'</shipments><orderLines><orderLine product="A" quantity="2" state="move pending"/></orderLines></order>',
        b"<shipments><shipment><reference>S1</reference><orderReference>shop:o1:1</orderReference><courier>dpd</courier>"
        b"<despatchReference>T1</despatchReference><completed>2026-07-02 09:30:00</completed><packages>"
        b'<package despatchReference="T1"/></packages><orderLines><orderLine><productReference>A</productReference>'
        b"<quantity>2</quantity></orderLine></orderLines></shipment></shipments>",
        b"<returns><return><orderReference>shop:o1:1</orderReference><product>A</product><quantity>1</quantity>"
        b"<returnedDate>2026-07-02 09:00:00</returnedDate><authorised>Y</authorised></return></returns>",
    )
)
OF_WRITTEN = tuple(
    _XML + each
    for each in (
        b'<importResult><importSuccesses><import type="order" externalReference="shop:o1:1"/></importSuccesses>'
        b'<importFailures><import externalReference="x"><failureMessage>Armchair</failureMessage></import>'
        b"</importFailures></importResult>",
        b"<message>Order cancelled</message>",
        b"<message>No cancel operation performed</message>",
        b"<html><head><title>Oops</title></head><body><h2>ERROR</h2><p>HTTP Status 500</p></body></html>",
        b"<response><exception>Order not found</exception></response>",
        b"<error>Access is denied</error>",
    )
)
OF_WORDS = (
    "M\u00fcller & S\u00f6hne\r\n\"1 High St\" ]]>".encode(), b"</import><import type='order'>", b"a=b\nc=d\x00\x85",
    b"\xed\xa0\x80", b"&amp;&#10;orderLine.1.quantity=99", b"plain",
)  # fmt: skip
_BASIC = b"authorization: Basic dTphLWxvbmctc2VjcmV0LXdvcmQ=\n\n"
OF_PUSHED = (
    b"path-token\n" + _BASIC + b'<inventory messageId="15"><product externalReference="A" sequenceId="4"/></inventory>',
    b"path-token\nx-sellable-token: a-long-secret-word\n\n"
    b'<event messageId="8" eventType="order_cancelled"><detail><order externalReference="shop:o1:1"/></detail></event>',
    b"path-token\n" + _BASIC + b'<stockChanges messageId="1"><stockChange product="A"/></stockChanges>',
)
WAITS = (
    *(
        b"60",
        b"60 Seconds",
        b"0.5",
        b"-1",
        b"99999999999999999999",
        b"9" * 400,
        DATE := b"Sat, 21 Nov 2026 12:01:00 GMT",
    ),
    *(b"Sat, 21 Nov 2026 12:01:00 +9999", b"Sat, 21 Nov 2026 12:01:00 +99999999999999999999", b"1 Jan 1 00:00 +2359"),
    *(b"Fri, 31 Dec 9999 23:59:59 -2300", b"Mon, 01 Jan 99999999999999999999 00:00:00 GMT", b"soon"),
)

PRODUCTS = (
    b'{"limit":500,"offset":0,"count":1,"results":[{"id":"p1","version":3,"masterVariant":{"id":1,"sku":"A"},'
    b'"variants":[{"id":2,"sku":"B"},{"id":3}]}]}',
    b'{"results":[]}',
)

# --- Files and words of people ---------------------------------------------------------------------------------------

TOML = (
    Shop.demo(1, 10, 1)
    .settings_toml("http://a.test", "http://b.test", "data", "", start_at="2026-01-01T00:00:00Z")
    .encode()
    + b'\n[[rates]]\ncurrency = "GBP"\nrate = "1.17265"\n\n[[rates]]\ncurrency = "USD"\nrate = "own"\n'
)
TOML_ODD = b"\r\n".join(
    (
        b"[service]",
        b'listen = "[::1]:0" # x',
        b"[orders]",
        b"start_at = 2026-01-01 00:00:00",
        b"carriers.'a b' = \"x\"",
        b'states = [{location = \'a\', bin = """*""", state = \'available\'}]',
        b"[[pools]]",
        b"name = '''p'''",
        b'locations = ["a", # c',
        b" 'b', 1e400, nan, 0x1F, 1979-05-27T07:32:00Z, 99999999999999999999]",
    )
)
ENVIRONMENT = (b"SERVICE__LISTEN=127.0.0.1:9", b"CIN7_CORE__SWEEP_SECONDS=1e400", b"A__B__C=1\nSERVICE=2\n__=3")
CSV = (
    b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    b"536365,85123A,WHITE HANGING HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom\n"
    b"536365,POST,POSTAGE,1,2010-12-01T08:26,18.00,17850,France\n"
    b"C536379,85123a,WHITE HANGING HEART,-2,2010-12-01,2.55,17850,United Kingdom\n"
    b'A536380,"B, x","Adjust ""bad"" debt",1,2010-12-01,-11062.06,,United Kingdom\n',
    b"\xef\xbb\xbfInvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\r\n"
    b"1,A,,-3,2010-12-01,0,,EIRE\r\n2,A,x,3,2010-12-01,0,,EIRE\r\n",
)
TIMETABLE = (
    *_json([{"at": 5, "do": "cin7_down", "for": 10}, {"at": 1.5, "do": "kill_service", "worker": 2}]),
    b"[[step]]\nat = 5\ndo = 'cin7_down'\nfor = 10\n",
)
CLOCKS = (
    *(b"speed=60,origin=1763710000.0,start=1291190400.0", b"speed=60", b" speed = 1e3 ,", b"origin=nan", b"start=inf"),
    *(b"speed=1e400", b"speed=nan", b"speed=-1", b"speed=0", b"start=1e18", b"origin=1e308,speed=1e308"),
)
DIALS = (
    struct.pack("<Qddd", 2, 60.0, 1.7e9, 1.2e9),
    struct.pack("<Qddd", 3, 60.0, 1.7e9, 1.2e9),
    struct.pack("<Qddd", 2, 0.0, 1.7e9, 1.2e9),
    struct.pack("<Qddd", 2, float("nan"), float("inf"), 1e300),
    b"",
)
ADDRESSES = (
    *(
        b"https://api.erp.example/v2/",
        b"https://user:pw@10.0.0.1/",
        b"https://[::ffff:127.0.0.1]:8443/",
        b"http://[::1",
    ),
    *(
        b"https://xn--nxasmq6b/",
        "https://\u2460\u2461.\u2462/".encode(),
        b"file:///etc/passwd",
        b"https://a/../%2e%2e/",
    ),
)
