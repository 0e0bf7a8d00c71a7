//! The samples themselves.

use super::build::{
    PIXEL, attachment, base64_lines, encoded_word, koi8_r, mail, multipart, pdf_file, percent,
    quoted_printable, text, windows_1251,
};
use super::{File, Sample};

pub(super) fn pdf() -> Sample {
    let content = pdf_file("Invoice 2026-117: 1 204.50 EUR");
    let raw = mail(
        "Anna Berg <anna@supplier.example>",
        "Invoice 2026-117",
        1,
        &multipart(
            "mixed",
            "mixed-1",
            &[
                text("Hello,\n\nplease find our invoice attached.\n\nAnna Berg"),
                attachment(
                    "application/pdf",
                    "filename=\"invoice-2026-117.pdf\"",
                    &content,
                ),
            ],
        ),
    );
    let files = vec![File {
        name: "invoice-2026-117.pdf",
        content,
    }];
    Sample {
        about: "a PDF attachment",
        raw,
        files,
    }
}

pub(super) fn koi8_r_subject() -> Sample {
    let content = "статья;сумма\r\nбумага;120,50\r\nкартриджи;3400,00\r\n"
        .as_bytes()
        .to_vec();
    let mut body =
        b"Content-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            .to_vec();
    body.extend(koi8_r(
        "Добрый день!\r\n\r\nОтчёт и смета во вложении.\r\n\r\nИван Петров\r\n",
    ));
    // Encoded words do not belong into parameters; every second mailer puts them there.
    let name = format!(
        "filename=\"{}\"",
        encoded_word("koi8-r", &koi8_r("смета.csv"))
    );
    let raw = mail(
        &format!(
            "{} <ivan@firma.example>",
            encoded_word("koi8-r", &koi8_r("Иван Петров"))
        ),
        &encoded_word("koi8-r", &koi8_r("Отчёт за март и смета")),
        2,
        &multipart(
            "mixed",
            "mixed-2",
            &[body, attachment("text/csv", &name, &content)],
        ),
    );
    let files = vec![File {
        name: "смета.csv",
        content,
    }];
    Sample {
        about: "subject, body and file name in KOI8-R",
        raw,
        files,
    }
}

pub(super) fn windows_1251_text() -> Sample {
    let body = windows_1251(
        "Уважаемые коллеги,\n\nсчёт № 88 от ООО «Ромашка» — оплачен = закрыт. Письмо без вложений.\n",
    );
    let mut entity = b"Content-Type: text/plain; charset=windows-1251\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        .to_vec();
    entity.extend(quoted_printable(&body).bytes());
    let raw = mail(
        "buh@romashka.example",
        &encoded_word("windows-1251", &windows_1251("Счёт № 88 оплачен")),
        3,
        &entity,
    );
    Sample {
        about: "windows-1251 text, quoted-printable, no attachment",
        raw,
        files: Vec::new(),
    }
}

pub(super) fn inline_image() -> Sample {
    let html = "<html><body><h1>October</h1><p>Our chart: <img src=\"cid:chart@mail.example\"></p></body></html>";
    let html_part = format!(
        "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}\r\n",
        quoted_printable(html.as_bytes())
    );
    let image = format!(
        "Content-Type: image/png; name=\"chart.png\"\r\nContent-Transfer-Encoding: base64\r\n\
         Content-ID: <chart@mail.example>\r\nContent-Disposition: inline; filename=\"chart.png\"\r\n\r\n{}",
        base64_lines(&PIXEL)
    );
    let related = multipart(
        "related",
        "related-4",
        &[html_part.into_bytes(), image.into_bytes()],
    );
    let alternative = multipart(
        "alternative",
        "alternative-4",
        &[text("October\n\n(see the chart)"), related],
    );
    let raw = mail(
        "News <news@letters.example>",
        "Newsletter, October",
        4,
        &alternative,
    );
    let files = vec![File {
        name: "chart.png",
        content: PIXEL.to_vec(),
    }];
    Sample {
        about: "HTML with an inline image, beside plain text",
        raw,
        files,
    }
}

pub(super) fn nested() -> Sample {
    let content = b"id,amount\r\n1,10.00\r\n2,12.50\r\n".to_vec();
    let inner = mail(
        "Shop <orders@shop.example>",
        "Orders of the day",
        105,
        &multipart(
            "mixed",
            "inner-5",
            &[
                text("The orders."),
                attachment("text/csv", "filename=\"orders.csv\"", &content),
            ],
        ),
    );
    let mut forwarded =
        b"Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n".to_vec();
    forwarded.extend(inner);
    let raw = mail(
        "Bob Lind <bob@example.com>",
        "Fwd: Orders of the day",
        5,
        &multipart(
            "mixed",
            "outer-5",
            &[text("Please have a look.\n\nBob"), forwarded],
        ),
    );
    let files = vec![File {
        name: "orders.csv",
        content,
    }];
    Sample {
        about: "a forwarded mail with an attachment of its own",
        raw,
        files,
    }
}

pub(super) fn duplicate_names() -> Sample {
    let first = b"north;1\r\n".to_vec();
    let second = b"south;2\r\n".to_vec();
    let name = "filename=\"report.csv\"";
    let raw = mail(
        "Field office <office@branch.example>",
        "Two reports, one name",
        6,
        &multipart(
            "mixed",
            "mixed-6",
            &[
                text("North and south."),
                attachment("text/csv", name, &first),
                attachment("text/csv", name, &second),
            ],
        ),
    );
    let files = vec![
        File {
            name: "report.csv",
            content: first,
        },
        File {
            name: "report.csv",
            content: second,
        },
    ];
    Sample {
        about: "two attachments of the same name",
        raw,
        files,
    }
}

pub(super) fn rfc_2231_name() -> Sample {
    let content = pdf_file("Minutes of the meeting");
    // Cut in the middle, the second half first, as some senders do.
    let name = "протокол собрания.pdf";
    let bytes = windows_1251(name);
    let (start, end) = bytes.split_at(9);
    let parameter = format!(
        "filename*1*={};\r\n filename*0*=windows-1251'ru'{}",
        percent(end),
        percent(start)
    );
    let raw = mail(
        "Secretary <secretary@council.example>",
        "Minutes",
        7,
        &multipart(
            "mixed",
            "mixed-7",
            &[
                text("The minutes are attached."),
                attachment("application/pdf", &parameter, &content),
            ],
        ),
    );
    Sample {
        about: "a file name in pieces (RFC 2231), out of order",
        raw,
        files: vec![File { name, content }],
    }
}

pub(super) fn iso_2022_jp() -> Sample {
    // 会議資料, and: 議事録をお送りします。ご確認ください。
    let subject = b"\x1b$B2q5D;qNA\x1b(B";
    let body = b"\x1b$B5D;vO?$r$*Aw$j$7$^$9!#$43NG'$/$@$5$$!#\x1b(B\r\n";
    let content = "日付,議題\r\n2026-10-09,予算\r\n".as_bytes().to_vec();
    let mut entity =
        b"Content-Type: text/plain; charset=ISO-2022-JP\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
            .to_vec();
    entity.extend_from_slice(body);
    let raw = mail(
        "Tanaka <tanaka@kaisha.example>",
        &encoded_word("ISO-2022-JP", subject),
        8,
        &multipart(
            "mixed",
            "mixed-8",
            &[
                entity,
                attachment(
                    "text/csv; charset=utf-8",
                    "filename=\"agenda.csv\"",
                    &content,
                ),
            ],
        ),
    );
    let files = vec![File {
        name: "agenda.csv",
        content,
    }];
    Sample {
        about: "subject and body in ISO-2022-JP",
        raw,
        files,
    }
}
