//! Giving content its final names.

use std::sync::Arc;

use crate::content::{Body, Commit, Looks, Place, Refused, commit_all, move_file, sync_all};
use crate::finish::Finisher;
use crate::job::{Job, JobEnd, Live};
use crate::ports::{Event, Failure, Location};

impl Finisher {
    /// Gives the content of what survived its final names, flushed.
    pub(crate) async fn commit(&mut self, jobs: &mut [Job]) {
        self.move_files(jobs).await;
        let mut commits = Vec::new();
        let mut whose = Vec::new();
        for (number, job) in jobs.iter_mut().enumerate() {
            for (place, live) in job.live.iter_mut().enumerate() {
                if let Some(commit) = self.to_commit(live) {
                    whose.push((number, place));
                    commits.push(commit);
                }
            }
        }
        if commits.is_empty() {
            return;
        }
        let done = self.commit_files(commits).await;
        match done {
            Ok(done) => {
                for ((number, place), result) in whose.into_iter().zip(done) {
                    self.committed(&mut jobs[number], place, result);
                }
                for job in jobs {
                    job.live.retain(|live| !live.meta.refused);
                    job.close_if_rejected();
                }
            }
            Err(failure) => {
                for (number, _) in whose {
                    jobs[number].finish(JobEnd::Failed(failure.clone(), 1));
                }
            }
        }
    }

    /// Moves what was here before, and what a callback wants elsewhere.
    async fn move_files(&mut self, jobs: &mut [Job]) {
        for job in jobs {
            let mut end = None;
            for live in &mut job.live {
                let (Body::Here(from), Some(placed)) = (&live.meta.body, live.placed()) else {
                    continue;
                };
                let to = placed.location.path();
                if *from == to {
                    continue;
                }
                let (local, from) = (Arc::clone(&self.shared.local), from.clone());
                let flush = self.shared.flow.fsync;
                let moving = move || move_file(&local, &from, &placed, flush);
                let moved = tokio::task::spawn_blocking(moving).await;
                let lost = |error: tokio::task::JoinError| {
                    Err(Refused::Failed(Failure::temporary(error.to_string())))
                };
                match moved.unwrap_or_else(lost) {
                    Ok(()) => live.meta.body = Body::Here(to),
                    Err(Refused::Failed(failure)) => end = Some(JobEnd::Failed(failure, 1)),
                    Err(Refused::Rejected(rejection)) => {
                        live.meta.refused = true;
                        self.shared.tell(|| Event::Rejected {
                            message: &live.item.message,
                            rejection: &rejection,
                            stage: "work",
                        });
                        job.rejected.get_or_insert(rejection);
                    }
                }
            }
            if let Some(end) = end {
                job.finish(end);
            }
            job.live.retain(|live| !live.meta.refused);
            job.close_if_rejected();
        }
    }

    fn to_commit(&self, live: &mut Live) -> Option<Commit> {
        if !matches!(live.meta.body, Body::Stored(_)) {
            return None;
        }
        let placed = live.placed()?;
        let Body::Stored(stored) = std::mem::take(&mut live.meta.body) else {
            return None;
        };
        let place = match live.meta.hash.clone() {
            Some(hash) => Place::Beside { hash },
            None if self.shared.local.overwrite => Place::Replace,
            None => Place::Keep,
        };
        Some(Commit {
            stored,
            placed,
            place,
            looks: self.looks(live),
        })
    }

    /// What the file of a download gets from its message.
    fn looks(&self, live: &Live) -> Looks {
        let (transfer, message) = (&self.shared.flow.transfer, &live.item.message);
        if live.meta.derived {
            return Looks::default();
        }
        let times = transfer.time_copy;
        Looks {
            mode: message.mode.filter(|mode| transfer.perm_copy && *mode != 0),
            modified: message.mtime.filter(|_| times),
            accessed: message.atime.filter(|_| times),
        }
    }

    async fn commit_files(
        &mut self,
        commits: Vec<Commit>,
    ) -> Result<Vec<Result<Location, Refused>>, Failure> {
        let flush = self.shared.flow.fsync;
        if flush {
            sync_all(
                commits
                    .iter()
                    .map(|commit| commit.stored.path().to_owned())
                    .collect(),
            )
            .await?;
        }
        let local = Arc::clone(&self.shared.local);
        tokio::task::spawn_blocking(move || commit_all(&local, commits, flush))
            .await
            .map_err(|error| Failure::temporary(error.to_string()))?
    }

    fn committed(&self, job: &mut Job, place: usize, result: Result<Location, Refused>) {
        let Some(live) = job.live.get_mut(place) else {
            return;
        };
        match result {
            Ok(location) => {
                let path = location.path();
                if live.meta.derived {
                    self.shared.tell(|| Event::Derived {
                        message: &live.item.message,
                        from: &job.delivery.item().message,
                        path: Some(&path),
                        bytes: live.item.message.size.unwrap_or_default(),
                    });
                }
                live.item.location = Some(location);
                live.meta.body = Body::Here(path);
            }
            Err(Refused::Rejected(rejection)) => {
                live.meta.refused = true;
                self.shared.tell(|| Event::Rejected {
                    message: &live.item.message,
                    rejection: &rejection,
                    stage: "work",
                });
                job.note_rejected(rejection);
            }
            Err(Refused::Failed(failure)) => job.finish(JobEnd::Failed(failure, 1)),
        }
    }
}
