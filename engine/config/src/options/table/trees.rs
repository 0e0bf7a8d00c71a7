//! Options of what is listed and watched.

use super::super::{OptionDoc, OptionType as T};
use super::declare::{ASKS, FINDS, GATHERS, LISTS, READS_TREE, SCHEDULED, WATCHES, of};
use crate::flow::Kind::{Poll, Post, Watch};

pub(super) static TREES: &[OptionDoc] = &[
    of(
        "pollUrl",
        T::Url,
        "What is asked for news: a listing (`file:`, `ftp:`, `ftps:`, `sftp:`, `http:`, `https:`, \
         `s3:`, `azure:`, `gs:`), or what a plugin asks. User, no password: that is in \
         `credentials.conf`.",
        "https://me%40example.com@data.example.com/new",
    )
    .only(ASKS)
    .required(&[Poll]),
    of(
        "path",
        T::Templates,
        "What is announced: files and directories; for a poll the directories to list, relative to \
         `pollUrl`, which is listed itself by default.",
        "[/data/incoming, '/data/${%Y%m%d}']",
    )
    .only(LISTS)
    .required(&[Post, Watch]),
    of(
        "sleep",
        T::Duration,
        "Pause between two gathers that found nothing more. A `flow` with a `pollUrl` has the \
         default of a poll.",
        "5m",
    )
    .only(GATHERS)
    .default("1s")
    .but(&[(Poll, "60s"), (Watch, "5s")])
    .unlike(
        "0.1s; poll 5m",
        "brokers and file systems wake a flow by themselves; a poll is cheap enough to be fresh",
    ),
    of(
        "scheduled_interval",
        T::Duration,
        "A gather begins this long after the last one began, in place of `sleep`. The first begins when \
         the flow starts, with every schedule.",
        "10m",
    )
    .only(SCHEDULED)
    .default("none"),
    of(
        "scheduled_hour",
        T::Counts,
        "Hours of the day at which to gather, with `scheduled_minute`; without it at minute 0.",
        "[0, 6, 12, 18]",
    )
    .only(SCHEDULED)
    .between(0, 23),
    of(
        "scheduled_minute",
        T::Counts,
        "Minutes of the hour at which to gather; without `scheduled_hour` of every hour.",
        "[5, 35]",
    )
    .only(SCHEDULED)
    .between(0, 59),
    of(
        "scheduled_time",
        T::Times,
        "Times of the day at which to gather. One that the clocks leave out that day comes as much later \
         as they are moved, one that they repeat counts once.",
        "['06:15', '18:15']",
    )
    .only(SCHEDULED),
    of(
        "timezone",
        T::Text,
        "The time zone of times in listings, and of `scheduled_hour`, `scheduled_minute` and \
         `scheduled_time`.",
        "America/Toronto",
    )
    .only(SCHEDULED)
    .default("UTC"),
    of(
        "recursive",
        T::Flag,
        "Whether directories below are read too.",
        "off",
    )
    .only(LISTS)
    .default("on"),
    of(
        "follow_symlinks",
        T::Flag,
        "Whether what a symbolic link leads to is announced, in place of the link.",
        "on",
    )
    .only(LISTS)
    .default("off"),
    of(
        "realpathPost",
        T::Flag,
        "Whether paths are announced without symbolic links in them.",
        "on",
    )
    .only(READS_TREE)
    .default("off"),
    of(
        "realpathFilter",
        T::Flag,
        "Whether `filters` see paths without symbolic links in them.",
        "on",
    )
    .only(READS_TREE)
    .default("off"),
    of(
        "force_polling",
        T::Flag,
        "Whether the tree is read again and again, as on network file systems that tell nothing of \
         what happens.",
        "on",
    )
    .only(WATCHES)
    .default("off"),
    of(
        "post_on_start",
        T::Flag,
        "Whether what is there at the start is announced too.",
        "on",
    )
    .only(WATCHES)
    .default("off"),
    of(
        "randomize",
        T::Flag,
        "Whether what is found is announced in random order.",
        "on",
    )
    .only(LISTS)
    .default("off"),
    of(
        "rename",
        T::Template,
        "Where receivers are to store it: the field `rename` of messages; one that ends in `/` gets \
         the file name.",
        "/incoming/${%Y%m%d}/",
    )
    .only(FINDS),
];
