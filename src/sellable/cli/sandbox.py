"""`sellable sandbox`: the opponents on their own, and trouble for a running demo."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated, Any

import httpx2
import msgspec
import typer

from sellable.cli.common import Json, emit, fail, out
from sellable.sandbox.serve import serve as serve_one
from sellable.sandbox.shop import ACCOUNT, ORDER_KEY, ORGANISATION, READ_KEY, SECRET, SERVICE_CLIENT, Shop, toml
from sellable.simulation.demo import STAFF
from sellable.simulation.faults import FAULTS, clear, put
from sellable.simulation.processes import stand

WORKING = {"auto": True, "parcel_rate": 0.1, "short_rate": 0.01}
RUN_FILE = Path(".sellable/demo/run.json")
app = typer.Typer(help="Simulators of the vendors, and trouble for a running demo.", no_args_is_help=True)
faults = typer.Typer(help="Trouble for the running demo; it must survive all of it.", no_args_is_help=True)
app.add_typer(faults, name="faults")

For = Annotated[float, typer.Option("--for", help="Real seconds until it ends; 0 leaves it until `clear`.")]


@app.command()
def serve(
    folder: Annotated[Path, typer.Option(help="Where logs and the settings file for the product go.")] = Path(
        ".sellable/sandbox"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the shop and of every die.")] = 1,
    skus: Annotated[int, typer.Option(help="How many SKUs the shop has.")] = 2000,
    speed: Annotated[float, typer.Option(help="Simulated seconds per real second, at most.")] = 1.0,
) -> None:
    """Serve both simulators with a made-up shop until Ctrl-C, and write the sellable.toml that fits them.

    Also writes answers.toml with its secrets beside it, so that `sellable init` can be tried as on a live account.
    Exit code 0 when stopped so.
    """

    async def go() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        # A database is the product's business here: `sellable run` starts its own.
        async with stand(folder, Shop.demo(seed, skus), speed, seed=seed, staff=STAFF, database_url=None) as found:
            found.write_settings(found.clock.now().isoformat())
            out.print(f"commercetools  {found.storefront.url}\nCin7 Core      {found.back_office.url}")
            clock = f"SELLABLE_CLOCK={found.clock.text()} " if speed != 1 else ""
            out.print(f"settings       {found.config}\n{clock}sellable run --config {found.config}", soft_wrap=True)
            answers = _write_answers(folder.resolve(), found.storefront.url, found.back_office.url)
            out.print(f"or, as on a live account:\n{clock}sellable init my-shop --answers {answers}", soft_wrap=True)
            await stop.wait()

    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(go())


@app.command()
def orderflow(
    port: Annotated[int, typer.Option(help="Where to listen; 0 takes a free port.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the shop and of every die.")] = 1,
    skus: Annotated[int, typer.Option(help="How many SKUs the shop has.")] = 200,
    load: Annotated[Path | None, typer.Option(help="A JSON seed instead of the made-up shop.")] = None,
) -> None:
    """Serve the OrderFlow simulator alone until Ctrl-C, with a made-up shop's goods and staff at work.

    Prints its address and, for the shop, who may sign in. Exit codes: 0 stopped so, 1 it could not start.
    """
    shop = Shop.demo(seed, skus)

    def ready(address: str) -> None:
        out.print(f"OrderFlow  {address}")
        if load is None:
            out.print(f"below /web/, user {SERVICE_CLIENT}, password {SECRET}, organisation {ORGANISATION}")
            out.print(f"channels   {', '.join(channel.key for channel in shop.channels)}")

    try:
        seeded = msgspec.json.decode(load.read_bytes(), type=dict[str, Any]) if load else shop.orderflow(staff=WORKING)
        with contextlib.suppress(KeyboardInterrupt):
            serve_one("orderflow", seed, seeded, ready, host="127.0.0.1", port=port)
    except (OSError, ValueError, KeyError) as error:
        raise fail(f"the simulator could not start: {error}") from error


def _write_answers(folder: Path, storefront: str, back_office: str) -> Path:
    """What a person would answer `sellable init`, secrets in files."""
    for name, secret in (("ct.secret", SECRET), ("cin7.key", ORDER_KEY), ("cin7.read-key", READ_KEY)):
        (folder / name).write_text(secret + "\n")
    lines = [
        "[commercetools]", 'project = "sandbox-home"', f"client_id = {toml(SERVICE_CLIENT)}",
        f"client_secret = {toml(f'file:{folder}/ct.secret')}", f"api_url = {toml(storefront)}", "",
        "[cin7_core]", f"account_id = {toml(ACCOUNT)}", f"key = {toml(f'file:{folder}/cin7.key')}",
        f"read_key = {toml(f'file:{folder}/cin7.read-key')}", f"base_url = {toml(f'{back_office}/ExternalApi/v2/')}",
        "", "[customers]", 'EUR = "Web EUR"', 'GBP = "Web GBP"', "",
    ]  # fmt: skip
    (folder / "answers.toml").write_text("\n".join(lines))
    return folder / "answers.toml"


@faults.command("list")
def listing(json: Json = False) -> None:
    """Every trouble there is, and which is in force. Exit codes: 0 listed, 1 no demo is running here."""
    run = _run()
    active = set(asyncio.run(_active(run))) | ({"flash-sale"} if Path(run["flash"]).exists() else set())
    if json:
        return emit([{"name": name, "active": name in active, "says": each.says} for name, each in FAULTS.items()])
    for name, trouble in FAULTS.items():
        out.print(f"{'* ' if name in active else '  '}{name:<16} {trouble.says}")
    return None


@faults.command("clear")
def clear_all(json: Json = False) -> None:
    """End all trouble. Exit codes: 0 ended, 1 no demo is running here."""
    asyncio.run(clear(_run()))
    if json:
        return emit({"active": []})
    out.print("no more trouble")
    return None


def _command(name: str) -> None:
    says = FAULTS[name].says

    @faults.command(name, help=f"{says[0].upper()}{says[1:]}. Exit codes: 0 in force, 1 no demo is running here.")
    def trouble(seconds: For = 0.0, json: Json = False) -> None:
        asyncio.run(put(_run(), name, seconds))
        if json:
            return emit({"name": name, "seconds": seconds})
        out.print(says + (f" for {seconds:g} s" if seconds else ", until `sellable sandbox faults clear`"))
        return None


for _name in FAULTS:
    _command(_name)


def _run() -> dict[str, Any]:
    try:
        found = msgspec.json.decode(RUN_FILE.read_bytes(), type=dict[str, Any])
    except (OSError, ValueError) as error:
        raise fail(f"no demo is running here ({RUN_FILE} is missing); start one with `sellable demo`") from error
    return found


async def _active(run: dict[str, Any]) -> list[str]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        names: list[str] = []
        for address in (run["commercetools"], run["cin7"]):
            found = (await http.get(f"{address}/_sandbox/faults")).json()["active"]
            names += [fault["name"].split(":")[0] for fault in found]
    return names
