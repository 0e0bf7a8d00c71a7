"""The plugin's logic, without WebAssembly: `.venv/bin/pytest`."""

import json

from flow_plugin.testing import Host, Message

from plugin import CsvToJson


def converted(text: str | bytes, **options: object) -> tuple[Host, object]:
    host = Host()
    plugin = host.start(CsvToJson, **options)
    host.content["in/a.csv"] = text.encode() if isinstance(text, str) else text
    return host, host.after_work(plugin, Message("in/a.csv"))


def test_rows_become_objects() -> None:
    host, judged = converted("name,age,id\nAnna,31,007\n\"Bö, Ltd\",2.5,8\n")
    assert judged.verdicts == {"in/a.csv": "replace"}
    assert json.loads(host.derived["in/a.json"]) == [
        {"name": "Anna", "age": 31, "id": "007"},
        {"name": "Bö, Ltd", "age": 2.5, "id": 8},
    ]
    assert host.counted == {"rows_converted": 2}


def test_options_change_how_it_reads() -> None:
    host, _ = converted("a;b\n1;é\n".encode("cp1252"), delimiter=";", encoding="cp1252", numbers=False)
    assert json.loads(host.derived["in/a.json"]) == [{"a": "1", "b": "é"}]


def test_an_empty_file_is_an_empty_list() -> None:
    host, _ = converted("\ufeffa,b\n")
    assert host.derived["in/a.json"] == b"[]\n"


def test_what_is_no_csv_is_rejected_and_nothing_is_stored() -> None:
    for text, why in [
        ("a,b\n1,2\n3\n", "line 3 has another number of fields"),
        ("a,b\n1,2,3\n", "line 2 has another number of fields"),
        (b"a,b\n\xff,2\n", "can't decode byte 0xff"),
        ('a,b\n"1,2\n', "unexpected end of data"),
    ]:
        host, judged = converted(text)
        code, reason = judged.rejections["in/a.csv"]
        assert code == 422 and why in reason, reason
        assert host.derived == {}


def test_what_is_too_large_is_rejected() -> None:
    host, judged = converted("a\n" + "1\n" * 600, limit="1kB")
    assert judged.rejections["in/a.csv"] == (422, "not readable as CSV: 1202 bytes are more than 1000")


def test_other_files_are_left_alone() -> None:
    host = Host()
    judged = host.after_work(host.start(CsvToJson), Message("a.txt"))
    assert judged.verdicts == {"a.txt": "keep"}


def test_the_filters_are_asked() -> None:
    host = Host()
    host.wanted = lambda rel_path: False
    judged = host.after_work(host.start(CsvToJson), Message("a.csv"))
    assert judged.verdicts == {"a.csv": "keep"}
