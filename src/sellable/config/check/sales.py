"""The maps from an order to a sale and back: SKUs, customers, taxes, exchange rates, reasons, states in a market."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from sellable.config.check.found import Found, quoted, twice, unknown
from sellable.config.settings import OWN_RATE, Settings, TaxMap
from sellable.domain.states import TABLES, Machine, known

RATE_DIGITS = 5
RATE_MAX = 1_000_000


def skus(settings: Settings) -> Found:
    mapped = {rule.storefront for rule in settings.skus}
    for index, rule in enumerate(settings.skus):
        if not rule.storefront or not rule.master:
            yield f"skus[{index}].storefront", "a SKU is missing", "Name the storefront's SKU and the master's."
        elif rule.storefront == rule.master:
            says = f'"{rule.master}" is spelled the same on both sides'
            yield f"skus[{index}].master", says, "Leave it out: SKUs that agree need no map."
        elif rule.master in mapped:
            says = f'"{rule.master}" is a storefront spelling of another SKU'
            yield f"skus[{index}].master", says, "Name the SKU as the master itself spells it."
    for index, first, sku in twice(rule.storefront for rule in settings.skus):
        says = f'"{sku}" is mapped already, to "{settings.skus[first].master}"'
        yield f"skus[{index}].storefront", says, "Keep one map for each SKU of the storefront."


def customers_and_taxes(settings: Settings) -> Found:
    for index, first, (currency, store) in twice((c.currency, c.store) for c in settings.customers):
        says = f'orders in {currency} of store "{store}" have two customers, "{settings.customers[first].customer}" too'
        yield f"customers[{index}].customer", says, "Keep one customer for each currency and store."
    for index, tax in enumerate(settings.taxes):
        fraction = _fraction(tax)
        if fraction is None or not 0 <= fraction < 1:
            says = f'"{tax.rate}" is no rate as a fraction'
            yield f"taxes[{index}].rate", says, 'Write 19 % as "0.19", in quotes.'
    for index, first, _ in twice((_fraction(tax), tax.name, tax.country) for tax in settings.taxes):
        says = f'this tax is mapped already, to the rule "{settings.taxes[first].rule}"'
        yield f"taxes[{index}].rule", says, "Keep one rule for each rate, name and country."


def _fraction(tax: TaxMap) -> Decimal | None:
    try:
        return tax.fraction if tax.fraction.is_finite() else None
    except InvalidOperation:
        return None


def rates(settings: Settings) -> Found:
    base = settings.cin7_core.base_currency
    foreign = {rule.currency for rule in settings.customers} | {rate.currency for rate in settings.rates}
    if not base and (len(foreign) > 1 or settings.rates):
        says = f"orders come in {quoted(sorted(foreign))}, and nobody says which of them is the company's own"
        yield "cin7_core.base_currency", says, "Write the base currency of the Cin7 Core company."
    for index, rate in enumerate(settings.rates):
        if rate.rate != OWN_RATE and not _is_rate(rate.rate):
            says = f'"{rate.rate}" is no exchange rate'
            mend = f'Write a number above 0 with at most {RATE_DIGITS} decimals, in quotes, or "{OWN_RATE}".'
            yield f"rates[{index}].rate", says, mend
        if rate.currency == base:
            says = f"{base} is the company's own currency"
            yield f"rates[{index}].currency", says, "Leave it out: a sale in it has no rate."
    for index, _, currency in twice(rate.currency for rate in settings.rates):
        yield f"rates[{index}].currency", f"{currency} has two rates", "Keep one."


def _is_rate(text: str) -> bool:
    """Cin7 Core keeps five decimals (blueprint, sale: CurrencyRate); a finer one would be rounded behind our back."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return False
    return value.is_finite() and 0 < value < RATE_MAX and value == value.quantize(Decimal(1).scaleb(-RATE_DIGITS))


def reasons(settings: Settings) -> Found:
    """One code of a system means one thing, and one of our words is said in one way to each system."""
    for side in ("storefront", "back_office"):
        for index, first, code in twice(getattr(reason, side) for reason in settings.reasons):
            if code:
                yield (
                    f"reasons[{index}].{side}",
                    f'the code "{code}" is mapped twice, to "{settings.reasons[first].code}" and '
                    f'"{settings.reasons[index].code}"',
                    "Keep the one it means.",
                )
    for index, reason in enumerate(settings.reasons):
        if not (reason.storefront or reason.back_office):
            yield (
                f"reasons[{index}].code",
                f'the reason "{reason.code}" is said by no system',
                "Give it a code, or none.",
            )


def statuses(settings: Settings) -> Found:
    """A market has one word for an event, and only words the storefront knows."""
    for index, _, (event, store, country) in twice((s.event, s.store, s.country) for s in settings.statuses):
        where = f'store "{store}", country "{country}"'
        yield (f"statuses[{index}].event", f'"{event}" is named twice for {where}', "Keep the section that is meant.")
    for index, rule in enumerate(settings.statuses):
        for name, machine in (("shipment_state", Machine.SHIPMENT), ("order_state", Machine.ORDER)):
            word = getattr(rule, name)
            if word and word != "keep" and not known(machine, word):
                yield (f"statuses[{index}].{name}", *unknown(machine.value, word, TABLES[machine]))
