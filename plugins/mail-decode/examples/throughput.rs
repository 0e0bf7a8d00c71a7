//! How fast mails are taken apart: `cargo run --release --example throughput`.

#![expect(
    clippy::print_stdout,
    reason = "a report on standard output is its purpose"
)]

use std::convert::Infallible;
use std::time::Instant;

use mail_decode::{Decoder, Options, Sink};

/// Takes everything and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    type Writer = ();
    type Content = ();
    type Error = Infallible;

    fn open(&mut self, _: &str, _: &str) -> Result<Option<()>, Infallible> {
        Ok(Some(()))
    }

    fn write(&mut self, (): &mut (), data: &[u8]) -> Result<(), Infallible> {
        std::hint::black_box(data);
        Ok(())
    }

    fn finish(&mut self, (): ()) -> Result<(), Infallible> {
        Ok(())
    }
}

fn measure(what: &str, head: &str, body: &[u8]) {
    const MAIL: usize = 200 * 1024 * 1024;
    let options = Options::default();
    let piece = body.repeat((64 * 1024 / body.len()).max(1));
    let start = Instant::now();
    let mut sink = Nowhere;
    let mut decoder = Decoder::new("mail", &options, &mut sink);
    let Ok(()) = decoder
        .feed(b"Subject: s\r\nContent-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n--=_b\r\n");
    let Ok(()) = decoder.feed(head.as_bytes());
    let mut fed = 0;
    while fed < MAIL {
        // As a host hands it over: 64 KiB at a time, cut anywhere.
        for chunk in piece.chunks(65_500) {
            let Ok(()) = decoder.feed(chunk);
            fed += chunk.len();
        }
    }
    let Ok(()) = decoder.feed(b"\r\n--=_b--\r\n");
    let Ok(outcome) = decoder.finish();
    let rate = fed as f64 / 1e6 / start.elapsed().as_secs_f64();
    println!("{what:<44} {rate:>6.0} MB/s, {} parts", outcome.parts.len());
}

fn main() {
    let attachment =
        "Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    measure(
        "base64 attachment",
        attachment,
        b"JVBERi0xLjQKJeLjz9MKMSAwIG9iago8PC9UeXBlL0NhdGFsb2cvUGFnZXMgMiAwIFI+PgplbmRv\r\n",
    );
    measure(
        "base64 attachment, one line",
        attachment,
        b"JVBERi0xLjQKJeLjz9MKMSAwIG9iago8PC9UeXBlL0NhdGFs",
    );
    measure(
        "binary attachment",
        "Content-Type: image/png\r\n\r\n",
        &(0..=255).collect::<Vec<u8>>(),
    );
    measure(
        "quoted-printable attachment",
        "Content-Type: text/csv; name=a.csv\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
        b"some words here, and =D0=BF=D1=80=D0=B8 more of them; the line goes on =\r\nuntil here\r\n",
    );
    let prose = "A line of prose of the usual length, not wrapped by anybody in particular.\r\n";
    measure(
        "plain body, utf-8, ASCII",
        "Content-Type: text/plain; charset=utf-8\r\n\r\n",
        prose.as_bytes(),
    );
    let russian = "Строка обычной прозы, никем особенно не переносимая, на русском языке.\r\n";
    measure(
        "plain body, utf-8, Russian",
        "Content-Type: text/plain; charset=utf-8\r\n\r\n",
        russian.as_bytes(),
    );
    let (koi8, _, _) = encoding_rs::KOI8_R.encode(russian);
    measure(
        "html body, koi8-r",
        "Content-Type: text/html; charset=koi8-r\r\n\r\n",
        &koi8,
    );
    measure(
        "plain body, flowed",
        "Content-Type: text/plain; charset=utf-8; format=flowed\r\n\r\n",
        prose.as_bytes(),
    );
    measure(
        "uuencode",
        "Content-Type: text/plain\r\n\r\nbegin 644 a\n#0V%T\n",
        b"M0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T0V%T\n",
    );
    measure(
        "nested mail with a base64 attachment",
        &format!(
            "Content-Type: message/rfc822\r\n\r\nSubject: n\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n{attachment}"
        ),
        b"JVBERi0xLjQKJeLjz9MKMSAwIG9iago8PC9UeXBlL0NhdGFsb2cvUGFnZXMgMiAwIFI+PgplbmRv\r\n",
    );
    measure(
        "worst: lines that may be boundaries",
        "Content-Type: image/png\r\n\r\n",
        b"\n--",
    );
    measure("worst: base64, nothing but junk", attachment, b"A!!");
    measure(
        "worst: quoted-printable, bare =",
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
        b"=",
    );
    measure(
        "worst: quoted-printable, blanks",
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
        b" ",
    );
    measure("worst: empty parts", "\r\n", b"\r\n--=_b\r\n\r\nx");
    measure(
        "worst: flowed quotes",
        "Content-Type: text/plain; format=flowed\r\n\r\n",
        b"> \n",
    );
}
