//! From a complete header block to the body that follows: which part it is, and where it goes.

use std::rc::Rc;

use crate::body::{Body, Target, TextBody};
use crate::entity::{self, Leaf, Plan};
use crate::fields::Fields;
use crate::job::{Job, NewPart, Open};
use crate::sink::Sink;
use crate::splitter::{Level, LineEnd, Place, Splitter, State, child_path};
use crate::transfer::Transfer;

impl<S: Sink> Splitter<S> {
    /// A header block is complete: prepares for the body that follows.
    pub(crate) fn begin(&mut self, job: &mut Job<'_, S>) -> Result<(), S::Error> {
        self.line_start = true;
        self.held = LineEnd::None;
        let State::Head(head) = std::mem::replace(&mut self.state, State::Skip) else {
            return Ok(());
        };
        if !job.admit() {
            return Ok(());
        }
        let fields = Fields::parse(&head.block);
        if head.root {
            self.introduce(&fields, job);
        }
        let path = if head.root {
            self.place.prefix.clone()
        } else {
            head.path.clone()
        };
        let depth = self.place.depth + self.levels.len();
        let may_nest = depth < job.options.max_depth;
        let leaf_path = if head.root {
            child_path(&path, 1)
        } else {
            path.clone()
        };
        let transfer = Transfer::new(fields.get("content-transfer-encoding"));
        self.state = match entity::plan(&fields, head.around) {
            Plan::Multipart { boundary, inside } if may_nest => {
                self.levels.push(Level {
                    boundary,
                    path,
                    children: 0,
                    inside,
                });
                State::Skip
            }
            Plan::Multipart { .. } => {
                let leaf = Leaf::too_deep();
                self.whole(&leaf, &leaf_path, &head.block, true, job)?
            }
            Plan::Whole(leaf) => self.whole(&leaf, &leaf_path, &head.block, false, job)?,
            Plan::Message(_) if job.options.nested && may_nest => {
                let place = Place {
                    dir: job.directory(&leaf_path).into(),
                    prefix: leaf_path,
                    depth: depth + 1,
                };
                let splitter = Box::new(Self::new(place));
                State::Body(Body::new(transfer, Target::Message(splitter)))
            }
            Plan::Message(leaf) => {
                let too_deep = job.options.nested;
                self.bytes(&leaf, &leaf_path, transfer, too_deep, job)?
            }
            Plan::Leaf(leaf) => self.leaf(&leaf, leaf_path, transfer, job)?,
        };
        Ok(())
    }

    /// Keeps what the mail says about itself.
    fn introduce(&mut self, fields: &Fields, job: &mut Job<'_, S>) {
        let headers = fields.mail_headers();
        if self.place.prefix.is_empty() {
            job.mail = headers;
            return;
        }
        let nested = headers.into_iter().filter_map(|(name, value)| {
            let name = match name {
                "from" => "nestedFrom",
                "subject" => "nestedSubject",
                "date" => "nestedDate",
                "messageId" => "nestedMessageId",
                _ => return None,
            };
            Some((name, value))
        });
        self.nested = Some(Rc::new(nested.collect()));
    }

    fn leaf(
        &mut self,
        leaf: &Leaf,
        path: String,
        transfer: Transfer,
        job: &mut Job<'_, S>,
    ) -> Result<State<S>, S::Error> {
        let Some(text) = leaf.text else {
            return self.bytes(leaf, &path, transfer, false, job);
        };
        let open = self.open(leaf, &path, job)?;
        // Even an unwanted text may hold files somebody wants.
        if open.is_none() && !(text.plain && job.options.attachments) {
            return Ok(State::Skip);
        }
        let body = TextBody::new(
            open,
            text,
            self.place.dir.clone(),
            path,
            self.nested.clone(),
        );
        Ok(State::Body(Body::new(
            transfer,
            Target::Text(Box::new(body)),
        )))
    }

    fn bytes(
        &mut self,
        leaf: &Leaf,
        path: &str,
        transfer: Transfer,
        too_deep: bool,
        job: &mut Job<'_, S>,
    ) -> Result<State<S>, S::Error> {
        let Some(mut open) = self.open(leaf, path, job)? else {
            return Ok(State::Skip);
        };
        if too_deep {
            open.headers.push(("undecoded", "max_depth".to_owned()));
        }
        Ok(State::Body(Body::new(transfer, Target::Bytes(open))))
    }

    /// Stores an entity as it is, header block first.
    fn whole(
        &mut self,
        leaf: &Leaf,
        path: &str,
        block: &[u8],
        too_deep: bool,
        job: &mut Job<'_, S>,
    ) -> Result<State<S>, S::Error> {
        let mut state = self.bytes(leaf, path, Transfer::Identity, too_deep, job)?;
        if let State::Body(body) = &mut state {
            body.feed(block, job)?;
            let line_end = if memchr::memmem::find(block, b"\r\n").is_some() {
                b"\r\n".as_slice()
            } else {
                b"\n"
            };
            if !block.is_empty() && !block.ends_with(b"\n") {
                body.feed(line_end, job)?;
            }
            body.feed(line_end, job)?;
        }
        Ok(state)
    }

    fn open(
        &mut self,
        leaf: &Leaf,
        path: &str,
        job: &mut Job<'_, S>,
    ) -> Result<Option<Open<S>>, S::Error> {
        let mut open = job.open(NewPart {
            dir: &self.place.dir,
            kind: leaf.kind,
            path,
            name: leaf.name.as_deref(),
            fallback: &leaf.fallback(path),
            content_type: &leaf.content_type,
            nested: self.nested.clone(),
        })?;
        if let Some(open) = &mut open {
            let more = [("charset", &leaf.charset), ("contentId", &leaf.content_id)];
            for (name, value) in more {
                open.headers.extend(value.clone().map(|v| (name, v)));
            }
        }
        Ok(open)
    }
}
