"""Asks sr3 itself what the cases in this folder mean, and writes that beside them.

    python3 -m venv sr3 && sr3/bin/pip install metpx-sr3==3.3.1 amqp paho-mqtt
    sr3/bin/python sr3.py

Without the libraries of brokers sr3 has other defaults.

Each `<component>__<name>.sr3.json` then holds what sr3 read: masks with their placement, options in
seconds and bytes, bindings and exchanges. The test compares them with the converted flow.
Components written in C are left out, as the Python of sr3 does not run them.
"""

import json
import logging
import os
import pathlib
import re
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
OPTIONS = [
    "acceptUnmatched", "batch", "bufSize", "byteRateMax", "fileAgeMax", "fileAgeMin",
    "housekeeping", "instances", "messageAgeMax", "nodupe_ttl", "timeout", "download",
]

# `get` is read by `sr3 convert` alone; sr3 stumbles over the encoded password.
LEFT_OUT = ("poll__old", "shovel__refused")

root = pathlib.Path(tempfile.mkdtemp())
os.environ.update(
    HOME="/home/me", XDG_CONFIG_HOME=str(root / "config"), XDG_CACHE_HOME=str(root / "cache"),
    PEER="amqp://peer@peer.example.org/", PRINTER="p1", USER="me",
)
config = root / "config" / "sr3"
(config / "plugins").mkdir(parents=True)
# sr3 takes no broker it has no password for.
brokers = {
    (scheme, user, host)
    for case in HERE.glob("*.conf")
    for scheme, user, host in re.findall(r"(amqps?|mqtts?)://(\w+)@([\w.:]+)", case.read_text())
} | {("amqp", "peer", "peer.example.org")}
(config / "credentials.conf").write_text(
    "".join(f"{scheme}://{user}:pw@{host}/\n" for scheme, user, host in sorted(brokers))
)
(config / "credentials.conf").chmod(0o600)
sys.argv = ["sr3", "show"]
logging.disable(logging.CRITICAL)

import sarracenia.config  # noqa: E402  (the environment has to be there first)


def plain(value):
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return float(value)
    return str(value)


for case in sorted(HERE.glob("*.conf")):
    component, name = case.stem.split("__")
    if component in ("cpost", "cpump") or case.stem in LEFT_OUT:
        continue
    folder = config / component
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.conf").write_text(case.read_text())
    read = sarracenia.config.one_config(component, name, "show")
    masks = [
        {
            "accept": accepting, "regex": pattern, "directory": directory, "filename": filename,
            "mirror": mirror, "strip": pstrip or (strip or None), "flatten": flatten,
        }
        for mask in read.masks if mask is not None
        for (pattern, directory, filename, _, accepting, mirror, strip, pstrip, flatten, _) in [mask]
    ]
    bindings = [
        # A shared subscription of MQTT begins with the name of the queue, which is a random one.
        [binding.get("exchange"), re.sub(r"^\$share/[^/]*/", "", binding["topic"])]
        for subscription in read.subscriptions for binding in subscription["bindings"]
    ]
    found = {
        "masks": masks,
        "options": {key: plain(getattr(read, key, None)) for key in OPTIONS},
        "bindings": bindings if component not in ("poll", "post", "watch") else [],
        "post_exchanges": sorted({e for p in read.publishers for e in p.get("exchange", [])}),
    }
    out = case.with_suffix(".sr3.json")
    out.write_text(json.dumps(found, indent=1) + "\n")
