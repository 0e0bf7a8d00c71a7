//! `wasi:http` from the kits of Python and JavaScript: what their languages ask by (`urllib`, `fetch`)
//! reaches servers under the flow's grants, bodies as streams both ways.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use flow_testkit::Flow;

use crate::project::Project;

/// Bytes of a body that is more than a request or an answer may hold as a whole.
const LARGE: usize = (16 << 20) + 1;

/// What was asked: the first line, and the size of the body.
type Asked = (String, usize);

/// Answers what the tests ask; tells what that was.
fn server() -> (u16, mpsc::Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let port = listener.local_addr().expect("it listens").port();
    let (tell, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, tell) = (stream.expect("a client"), tell.clone());
            std::thread::spawn(move || while answer(&stream, &tell).is_some() {});
        }
    });
    (port, asked)
}

/// One exchange; none: the client is gone.
fn answer(stream: &TcpStream, tell: &mpsc::Sender<Asked>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        let size = reader.read_line(&mut line).ok()?;
        (size > 0).then(|| line.trim_end().to_ascii_lowercase())
    };
    let first = line()?;
    let mut length = Some(0);
    loop {
        let header = line()?;
        if header.is_empty() {
            break;
        } else if let Some(size) = header.strip_prefix("content-length: ") {
            length = size.parse().ok();
        } else if header == "transfer-encoding: chunked" {
            length = None;
        }
    }
    let size = match length {
        Some(size) => {
            std::io::copy(&mut (&mut reader).take(size), &mut std::io::sink()).ok()? as usize
        }
        None => chunked(&mut reader)?,
    };
    let status = if first.contains(" /gone ") {
        "404 Not Found"
    } else {
        "200 OK"
    };
    let body = if first.contains(" /large ") {
        vec![b'x'; LARGE]
    } else {
        format!("got {size}\nall\n").into_bytes()
    };
    tell.send((first, size)).ok()?;
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nx-answer: yes\r\n\r\n",
        body.len()
    );
    let mut stream = stream;
    stream.write_all(&[head.into_bytes(), body].concat()).ok()
}

fn chunked(reader: &mut impl BufRead) -> Option<usize> {
    let mut all = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return Some(all);
        }
        all += size;
    }
}

const PYTHON: &str = r#""""asks by what Python has"""
import urllib.error
import urllib.request

from flow_plugin import Config, Plugin, Worklist, log, option, wasi_http


class Asks(Plugin):
    """asks by what Python has"""

    name = "csv-to-json"
    version = "0.1.0"

    server: str = option(doc="Who is asked.")

    def after_work(self, worklist: Worklist) -> None:
        for message in worklist.ok:
            asked = urllib.request.Request(self.server + "/a?b=1", data=b"data", headers={"X-One": "1"}, method="PUT")
            with urllib.request.urlopen(asked) as told:
                log.info(f"urllib: {told.status} {told.headers['x-answer']} {told.read().decode()!r}")
            try:
                urllib.request.urlopen(self.server + "/gone")
            except urllib.error.HTTPError as error:
                log.info("gone: " + str(error))
            with message.open() as content, wasi_http.request("POST", self.server + "/content", body=content) as told:
                log.info("lines: " + str(list(told)))
            parts = (b"y" * 100_000 for _ in range(168))
            with wasi_http.request("POST", self.server + "/large", body=parts) as told:
                size = 0
                while chunk := told.read(1 << 20):
                    size += len(chunk)
                log.info("large: " + str(size))
            try:
                wasi_http.request("GET", "http://other.example/")
            except Config as denied:
                log.info("denied: " + str(denied).partition("\n")[0])
"#;

const JS: &str = r#"import { definePlugin, option } from "flow-plugin";

async function size(chunks) {
  let size = 0;
  for await (const chunk of chunks) size += chunk.length;
  return size;
}

export default definePlugin({
  name: "chat-notify",
  version: "0.1.0",
  summary: "asks by what JavaScript has",
  options: { server: option.text({ doc: "Who is asked." }) },

  async afterWork(worklist) {
    const { server } = this.options;
    for (const message of worklist.ok) {
      const put = await fetch(`${server}/a?b=1`, { method: "PUT", body: "data", headers: { "X-One": "1" } });
      console.log("fetch:", `${put.status} ${put.headers.get("X-Answer")} ${await put.text()}`);
      const answers = await Promise.all(["/gone", "/here"].map((path) => globalThis.fetch(server + path)));
      console.log("all:", answers.map(({ ok, status }) => `${ok} ${status}`).join(", "));
      const content = await fetch(`${server}/content`, { method: "POST", body: message.open() });
      console.log("lines:", (await content.text()).trim());
      const parts = (function* () {
        for (let part = 0; part < 168; part++) yield new Uint8Array(100000);
      })();
      const large = await fetch(`${server}/large`, { method: "POST", body: parts });
      console.log("large:", await size(large.body));
      try {
        await fetch("http://other.example/");
      } catch (denied) {
        console.log("denied:", `${denied.kind}: ${denied.message.split("\n")[0]}`);
      }
    }
  },
});
"#;

/// Runs the plugin in a flow, and gives what it said, and what the server was asked.
#[track_caller]
fn ran(project: &Project, plugin: &str, step: &[&str]) -> (String, Vec<Asked>) {
    let flow = Flow::new();
    fs::create_dir(project.path("build")).expect("the copy is writable");
    project.install(&flow, &format!("build/{plugin}.wasm"), step);
    let shown = flow.run(&["plugin", "show", plugin]).expect(0).stdout;
    assert!(
        shown.contains("asks for      http (by wasi:http)\n")
            && shown.contains("imports       content, log, wasi:http\n"),
        "{shown}"
    );
    let (port, asked) = server();
    let text = format!(
        "pollUrl: file:///\npath: ${{HOME}}/in\nallow:\n  http: ['127.0.0.1:{port}']\ntimeout: 5m\n\
         callbacks:\n  - plugin: {plugin}\n    server: 'http://127.0.0.1:{port}'\n    limits: {{ deadline: 5m }}\n"
    );
    flow.add_flow("flow/asks", &text);
    flow.write("in/a.txt", b"12345");
    let done = flow.run(&["foreground", "flow/asks", "--once"]).expect(0);
    (done.stderr, asked.try_iter().collect())
}

/// Asked in this order: a small body, what is not there, content, a large body.
#[track_caller]
fn were(asked: &[Asked], expected: &[(&str, usize)]) {
    let asked: Vec<_> = asked
        .iter()
        .map(|(line, size)| (line.trim_end_matches(" http/1.1"), *size))
        .collect();
    assert_eq!(asked, expected);
}

#[test]
fn urllib_and_streams_work_from_python() {
    let project = Project::of("plugin-python").with("src/plugin.py", PYTHON);
    let (told, asked) = ran(&project, "csv-to-json", &crate::PYTHON);
    for part in [
        r"urllib: 200 yes 'got 4\nall\n'",
        "gone: HTTP Error 404: Not Found",
        r"lines: [b'got 5\n', b'all\n']",
        &format!("large: {LARGE}"),
        "denied: plugin `csv-to-json` may not ask `other.example:80` [plugin/capability-denied]",
    ] {
        assert!(told.contains(part), "no {part}\n{told}");
    }
    were(
        &asked,
        &[
            ("put /a?b=1", 4),
            ("get /gone", 0),
            ("post /content", 5),
            ("post /large", 16_800_000),
        ],
    );
}

#[test]
fn fetch_and_async_methods_work_from_javascript() {
    let project = Project::of("plugin-js").with("src/plugin.js", JS);
    let (told, asked) = ran(&project, "chat-notify", &crate::JS);
    for part in [
        r"fetch: 200 yes got 4\nall\n",
        "all: false 404, true 200",
        r"lines: got 5\nall",
        &format!("large: {LARGE}"),
        "denied: config: plugin `chat-notify` may not ask `other.example:80` [plugin/capability-denied]",
    ] {
        assert!(told.contains(part), "no {part}\n{told}");
    }
    were(
        &asked,
        &[
            ("put /a?b=1", 4),
            ("get /gone", 0),
            ("get /here", 0),
            ("post /content", 5),
            ("post /large", 16_800_000),
        ],
    );
}
