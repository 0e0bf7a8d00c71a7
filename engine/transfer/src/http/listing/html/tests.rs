//! Listings of web servers as they come.

use std::collections::VecDeque;

use jiff::tz::TimeZone;

use super::Html;
use crate::{Entry, EntryKind};

fn parse(page: &str, piece: usize) -> Vec<Entry> {
    let base = "http://h:81/data/in/".parse().unwrap();
    let mut html = Html::new(base, TimeZone::UTC);
    let mut found = VecDeque::new();
    for piece in page.as_bytes().chunks(piece) {
        html.feed(piece, &mut found).unwrap();
    }
    html.finish(&mut found);
    found.into()
}

/// Each entry as `name|kind|time|size`.
fn check(page: &str, expected: &[&str]) {
    for piece in [1, 13, 100_000] {
        let found: Vec<String> = parse(page, piece)
            .iter()
            .map(|entry| {
                let kind = match entry.kind {
                    EntryKind::Directory => "d",
                    _ => "f",
                };
                let time = entry.mtime.map(|time| time.to_string());
                let size = entry.size.map(|size| size.to_string());
                format!(
                    "{}|{kind}|{}|{}",
                    entry.name,
                    time.unwrap_or_default(),
                    size.unwrap_or_default()
                )
            })
            .collect();
        assert_eq!(found, expected, "in pieces of {piece}");
    }
}

#[test]
fn nginx() {
    check(
        r#"<html>
<head><title>Index of /data/in/</title></head>
<body>
<h1>Index of /data/in/</h1><hr><pre><a href="../">../</a>
<a href="sub/">sub/</a>                                    22-Nov-2026 01:52                   -
<a href="a%20b%26.txt">a b&amp;.txt</a>                    22-Nov-2026 01:52                  17
<a href="2026-01-01%2010:00.txt">2026-01-01 10:00.txt</a>  22-Nov-2026 01:52                   3
</pre><hr></body>
</html>"#,
        &[
            "sub|d|20261122T015200|",
            "a b&.txt|f|20261122T015200|17",
            "2026-01-01 10:00.txt|f|20261122T015200|3",
        ],
    );
}

#[test]
fn apache_in_all_its_forms() {
    check(
        r#"<table>
   <tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th><th><a href="?C=N;O=D">Name</a></th><th><a href="?C=M;O=A">Last modified</a></th></tr>
<tr><td valign="top"><img src="/icons/back.gif"></td><td><a href="/data/">Parent Directory</a></td><td>&nbsp;</td><td align="right">  - </td></tr>
<tr><td valign="top"><a href="x.grib"><img src="/icons/unknown.gif"></a></td><td><a href="x.grib">x.grib</a></td><td align="right">2026-11-22 01:52  </td><td align="right"> 17 </td><td>&nbsp;</td></tr>
<tr><td><img src="/icons/folder.gif"></td><td><a href="d/">d/</a></td><td align="right">2026-11-22 01:52  </td><td align="right">  - </td></tr>
<tr><td><a href="big">big</a></td><td>2026-11-22 01:52</td><td align="right">1.2M</td></tr>
</table>"#,
        &[
            "x.grib|f|20261122T015200|17",
            "d|d|20261122T015200|",
            "big|f|20261122T015200|",
        ],
    );
    check(
        r#"<pre><img src="/icons/blank.gif" alt="Icon "> <a href="?C=N;O=D">Name</a> <hr><img src="b.gif"> <a href="/data/">Parent Directory</a>                             -
<img src="/icons/text.gif" alt="[TXT]"> <a href="a.txt">a.txt</a>          2026-11-22 01:52   17
<hr></pre>"#,
        &["a.txt|f|20261122T015200|17"],
    );
    check(
        "<ul><li><a href=\"/data/\"> Parent Directory</a></li>\n<li><a href=\"a\"> a</a></li><li><a href=\"b/\"> b/</a></li></ul>",
        &["a|f||", "b|d||"],
    );
}

#[test]
fn iis_caddy_and_lighttpd() {
    check(
        r#"<html><body><H1>h - /data/in/</H1><hr><pre><A HREF="/data/">[To Parent Directory]</A><br><br>11/22/2026  1:52 AM        &lt;dir&gt; <A HREF="/data/in/sub/">sub</A><br>11/22/2026  1:52 PM           17 <A HREF="/data/in/a%20b.txt">a b.txt</A><br></pre><hr></body></html>"#,
        &["sub|d|20261122T015200|", "a b.txt|f|20261122T135200|17"],
    );
    check(
        r#"<table><tbody>
<tr class="file">
  <td></td>
  <td>
    <a href="./a.txt"><svg class="icon"></svg>
      <span class="name">a.txt</span></a>
  </td>
  <td class="size" data-size="17"><div class="sizebar"><div class="sizebar-text">17 B</div></div></td>
  <td class="timestamp"><time datetime="2026-11-22T01:52:06Z">11/22/2026 01:52:06 AM +00:00</time></td>
</tr>
</tbody></table><script>var x = "<a href='no'>";</script><style>a{}</style><!-- <a href="no2">x</a> -->"#,
        &["a.txt|f|20261122T015206|"],
    );
    check(
        r#"<tr class="d"><td class="n"><a href="../">..</a>/</td></tr>
<tr><td class="n"><a href="a.txt">a.txt</a></td><td class="m">2026-Nov-22 01:52:06</td><td class="s">0.1K</td><td>text/plain</td></tr>"#,
        &["a.txt|f|20261122T015206|"],
    );
}

#[test]
fn plain_links_and_hostile_ones() {
    check(
        r##"<a href=one>1</a> <a href='two'>2</a> <A class="x" HREF="http://h:81/data/in/three">3</A>
<a href="http://other/data/in/four">4</a> <a href="/etc/passwd">5</a> <a href="#top">6</a>
<a href="../../x">7</a> <a href="%2e%2e/x">8</a> <a href="deep/er">9</a> <a href="mailto:x@y">10</a>
<a href="javascript:x()">11</a> <a href="">12</a> <a href="a%2Fb">13</a> <a href="%00">14</a> <a href="%FF">15</a>"##,
        // What decodes to more than one element, or to a control character, is refused by name.
        &["one|f||", "two|f||", "three|f||", "a/b|f||", "\0|f||"],
    );
}

#[test]
fn a_row_without_end_is_passed_over() {
    let mut page = "<a href=\"x\">".repeat(20_000);
    page.push_str("\n<a href=\"last\">last</a>\n");
    let found = parse(&page, 4_096);
    assert_eq!(found.last().unwrap().name, "last");
}
