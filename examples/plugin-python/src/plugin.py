"""Turns CSV files into JSON: a list of objects, one per row, in a file beside."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, Literal

from flow_plugin import Message, Plugin, Size, Worklist, metrics, option


class Unreadable(Exception):
    """The content is no CSV with a heading."""


class CsvToJson(Plugin):
    """turns CSV files into JSON, one object per row"""

    name = "csv-to-json"
    version = "0.1.0"

    delimiter: str = option(",", doc="What separates fields.", example="';'")
    encoding: Literal["utf-8", "cp1252"] = option("utf-8", doc="How the CSV is encoded.")
    numbers: bool = option(True, doc="Whether what looks like a number becomes one.")
    limit: Size = option("50MiB", doc="Larger files are rejected, bytes.", example="1GiB")

    def after_work(self, worklist: Worklist) -> None:
        for message in worklist.ok:
            if not message.rel_path.endswith(".csv"):
                continue
            try:
                self.convert(worklist, message)
            except (Unreadable, csv.Error, UnicodeDecodeError) as error:
                worklist.reject(message, 422, f"not readable as CSV: {error}")

    def convert(self, worklist: Worklist, message: Message) -> None:
        target = message.derive(message.rel_path.removesuffix(".csv") + ".json", "application/json")
        if target is None:
            return
        with message.open() as source, target:
            if source.size > self.limit:
                raise Unreadable(f"{source.size} bytes are more than {self.limit}")
            rows = 0
            for rows, row in enumerate(self.rows(source), 1):
                target.write("[\n" if rows == 1 else ",\n")
                target.write(json.dumps(row, ensure_ascii=False))
            target.write("\n]\n" if rows else "[]\n")
        metrics.count("rows_converted", rows)
        target.message.headers["rows"] = rows
        worklist.replace(message, target.message)

    def rows(self, source: io.BufferedIOBase) -> Iterator[dict[str, Any]]:
        # `utf-8-sig` also takes the mark some spreadsheets begin with.
        encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        lines = io.TextIOWrapper(source, encoding, newline="")
        reader = csv.DictReader(lines, delimiter=self.delimiter, restkey="", strict=True)
        for row in reader:
            if "" in row or None in row.values():
                raise Unreadable(f"line {reader.line_num} has another number of fields than the heading")
            yield {name: self.value(text) for name, text in row.items()}

    def value(self, text: str) -> Any:
        if self.numbers:
            # "007" and "1_000" are no numbers to the people who write them.
            for kind in (int, float):
                try:
                    number = kind(text)
                except ValueError:
                    continue
                if text == str(number):
                    return number
        return text
