"""Makes golden.json: what the real sr3 writes, and what it reads of what we write.

    python3 -m venv V && V/bin/pip install metpx-sr3==3.3.1
    cargo run -p flow-message --example sr3_vectors > engine/message/tests/sr3/ours.json
    V/bin/python engine/message/tests/sr3/make.py

Reads messages.json and ours.json beside this file. The tests need golden.json alone, and no Python.
The small steps around sr3's codecs (which fields stay at home, how a topic is joined and escaped)
are those of its AMQP and MQTT classes, which need a broker to be called themselves.
"""

import copy
import json
import logging
import pathlib
import types

import sarracenia
from sarracenia.postformat import PostFormat

HERE = pathlib.Path(__file__).parent
logging.disable(logging.CRITICAL)


def message_of(fields):
    message = sarracenia.Message()
    message.copyDict(copy.deepcopy(fields))
    for key in message["_deleteOnPost"]:
        message.pop(key, None)
    del message["_deleteOnPost"]
    manifest = message.get("blocks", {}).get("manifest")
    if manifest:
        message["blocks"]["manifest"] = {int(key): value for key, value in manifest.items()}
    return message


def export(fields, form, transport):
    prefix = {"v03": ["v03"], "v02": ["v02", "post"], "wis": []}[form]
    url = types.SimpleNamespace(scheme={"amqp": "amqps", "mqtt": "mqtts"}[transport])
    publisher = {
        "broker": types.SimpleNamespace(url=url),
        "exchange": ["xpublic"],
        "topicPrefix": prefix,
    }
    options = {"publishers": [publisher], "publisher_index": 0}
    if form == "wis":
        options["topic"] = "origin/a/wis2/ca-eccc-msc/data/core/weather"
    body, headers, kind = PostFormat.exportAny(message_of(fields), form, prefix, options)
    words = headers.pop("topic")
    if transport == "amqp":
        topic = ".".join(words).replace("#", "%23").replace("*", "%22")
    else:
        topic = "/".join(words).replace("#", "%23").replace("+", "%2B")
    return {"content_type": kind, "headers": headers, "topic": topic, "body": body}


def read(wire, transport):
    headers = dict(wire["headers"])
    if transport == "mqtt":
        headers = {"topic": wire["topic"], "content-type": wire["content_type"], **headers}
    message = PostFormat.importAny(wire["body"], headers, wire["content_type"], {})
    if message is None:
        return {"format": None, "message": None}
    form = message["_format"]
    for key in message.pop("_deleteOnPost"):
        message.pop(key, None)
    # Not fields: sr3 keeps the topic beside the message, and this property in it by mistake.
    message.pop("topic", None)
    message.pop("content-type", None)
    return {"format": form, "message": dict(message)}


def attempt(work, *arguments):
    try:
        return work(*arguments)
    except Exception as error:
        return {"raised": f"{type(error).__name__}: {error}"}


def main():
    messages = json.loads((HERE / "messages.json").read_text())
    ours = json.loads((HERE / "ours.json").read_text())
    exports = [
        {"name": name, "format": form, "transport": transport, **attempt(export, fields, form, transport)}
        for name, fields in messages.items()
        for form in ("v03", "v02", "wis")
        for transport in ("amqp", "mqtt")
    ]
    for made in exports:
        # A random id would make every golden file another one.
        if made["format"] == "wis" and "body" in made:
            body = json.loads(made["body"])
            if "id" in body:
                body["id"] = "00000000-0000-4000-8000-000000000000"
            made["body"] = json.dumps(body)
    imports = [
        {"name": wire["name"], "format": wire["format"], "transport": wire["transport"],
         "read": attempt(read, wire, wire["transport"])}
        for wire in ours
    ]
    golden = {"sr3": sarracenia.__version__, "exports": exports, "imports": imports}
    lines = json.dumps(golden, ensure_ascii=False, indent=1)
    (HERE / "golden.json").write_text(lines + "\n")


main()
