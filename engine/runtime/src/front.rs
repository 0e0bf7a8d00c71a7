//! Where calls from outside the loop are answered: instances of one callback, beside the loop.
//!
//! The loop's instances may be busy for minutes with a transfer; who waits for an answer should not
//! have to wait for that. So requests and lines are served by instances of their own, made as they are
//! needed, `concurrency` of them at most.
//!
//! # Invariants
//! - An instance serves one call at a time. One whose call was dropped half-way is not used again.
//! - What a call submits, and the pairs it wrote up to then, become durable in one transaction.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_message::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::inbox::Inbox;
use crate::nodupe;
use crate::ports::{
    Callback, CallbackFactory, Desk, EntryPoints, Failure, HttpRequest, HttpResponse, Submit,
};
use crate::shared::Shared;
use crate::state::Overlay;
use crate::store::InboxRow;

/// What serves calls from outside.
pub struct Front {
    shared: Arc<Shared>,
    factory: Arc<dyn CallbackFactory>,
    /// Which callback.
    index: usize,
    /// The number of the first instance here.
    first: usize,
    /// It serves lines, and wants to be asked for those who wait.
    tends: bool,
    idle: Mutex<Idle>,
    room: Arc<Semaphore>,
}

struct Idle {
    instances: Vec<Box<dyn Callback>>,
    made: usize,
}

/// An instance, taken for one call. Dropped without a call, it is gone.
pub struct Seat {
    front: Arc<Front>,
    callback: Box<dyn Callback>,
    _permit: OwnedSemaphorePermit,
}

impl Front {
    /// Starts the first instance of the callback that has what is asked for.
    pub(crate) async fn open(
        shared: Arc<Shared>,
        factory: Arc<dyn CallbackFactory>,
        serves: fn(EntryPoints) -> bool,
        first: usize,
    ) -> Result<Self, Failure> {
        for index in 0..shared.flow.callbacks.len() {
            let number = u32::try_from(first).unwrap_or(u32::MAX);
            let mut callback = factory.create(index, number).await?;
            if !serves(callback.entry_points()) {
                continue;
            }
            let points = callback.entry_points();
            let lines = EntryPoints {
                line: true,
                ..EntryPoints::default()
            };
            let most = callback.start().await?;
            let most = most.and_then(|most| usize::try_from(most).ok());
            let most = most
                .unwrap_or(usize::MAX)
                .min(shared.flow.concurrency)
                .max(1);
            return Ok(Self {
                shared,
                factory,
                index,
                first,
                tends: points.lifecycle && serves(lines),
                idle: Mutex::new(Idle {
                    instances: vec![callback],
                    made: 1,
                }),
                room: Arc::new(Semaphore::new(most)),
            });
        }
        Err(Failure::Config(
            "no plugin of this flow answers what comes from outside".into(),
        ))
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so much waits to be worked on that no more is taken.
    pub fn is_full(&self) -> bool {
        self.shared.inbox.is_full()
    }

    /// Waits until more is taken. Cancel safe.
    pub async fn room(&self) {
        self.shared.inbox.room().await;
    }

    /// How many calls are served at the same time.
    pub fn width(&self) -> usize {
        self.shared.flow.concurrency.max(1)
    }

    /// An instance that is free, made if there is none; whoever asks first gets it first.
    ///
    /// # Errors
    /// The flow is ending, or an instance can't be made.
    pub async fn seat(self: &Arc<Self>) -> Result<Seat, Failure> {
        let permit = Arc::clone(&self.room)
            .acquire_owned()
            .await
            .map_err(|_| Failure::temporary("the flow is ending"))?;
        let taken = {
            let mut idle = self.idle();
            let callback = idle.instances.pop();
            idle.made += usize::from(callback.is_none());
            callback.ok_or(self.first + idle.made - 1)
        };
        let callback = match taken {
            Ok(callback) => callback,
            Err(number) => {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                let mut callback = self.factory.create(self.index, number).await?;
                callback.start().await?;
                callback
            }
        };
        Ok(Seat {
            front: Arc::clone(self),
            callback,
            _permit: permit,
        })
    }

    /// Lets an instance that serves lines do what is due by now: who waits for an answer may have waited
    /// long enough. The instance that was used last is taken.
    pub(crate) async fn tend(self: &Arc<Self>) {
        if !self.tends {
            return;
        }
        let tended = match self.seat().await {
            Ok(seat) => seat.tend().await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = tended {
            let plugin = &self.shared.names[self.index];
            tracing::warn!(plugin, reason = %failure, "Upkeep of who serves lines failed.");
        }
    }

    fn desk(&self) -> (Desk, Arc<Overlay>) {
        let overlay = Arc::new(Overlay::default());
        let desk = Desk {
            submit: Arc::new(Submitter {
                shared: Arc::clone(&self.shared),
                inbox: Arc::clone(&self.shared.inbox),
                index: self.index,
                overlay: Arc::clone(&overlay),
            }),
            state: self.shared.state(self.index, &overlay),
        };
        (desk, overlay)
    }

    /// Ends the instances. Calls that come later fail.
    pub(crate) async fn stop(&self) {
        self.room.close();
        let instances = std::mem::take(&mut self.idle().instances);
        for mut callback in instances {
            callback.stop().await;
        }
    }
}

impl Seat {
    /// Answers a request.
    ///
    /// # Errors
    /// As the plugin says, or it failed itself.
    pub async fn request(mut self, request: &HttpRequest) -> Result<HttpResponse, Failure> {
        let (desk, overlay) = self.front.desk();
        let answer = self.callback.request(request, desk).await;
        self.end(answer, &overlay).await
    }

    /// Hands a line of a peer over; says whether more of its lines are wanted.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn line(mut self, peer: u64, text: &str) -> Result<bool, Failure> {
        let (desk, overlay) = self.front.desk();
        let answer = self.callback.line(peer, text, desk).await;
        self.end(answer, &overlay).await
    }

    /// Says that no more lines of a peer will come.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn closed(mut self, peer: u64) -> Result<(), Failure> {
        let (desk, overlay) = self.front.desk();
        let answer = self.callback.closed(peer, desk).await;
        self.end(answer, &overlay).await
    }

    async fn tend(mut self) -> Result<(), Failure> {
        let (desk, overlay) = self.front.desk();
        let answer = self.callback.housekeeping(desk.state).await;
        self.end(answer, &overlay).await
    }

    /// A call has ended: what it wrote is kept if it went well.
    async fn end<T>(self, answer: Result<T, Failure>, overlay: &Overlay) -> Result<T, Failure> {
        let Self {
            front, callback, ..
        } = self;
        front.idle().instances.push(callback);
        if let Err(failure) = &answer {
            front.shared.falls.note(failure);
        }
        let value = answer?;
        front.shared.inbox.put(Vec::new(), overlay.take()).await?;
        Ok(value)
    }
}

/// Puts what one call submits into the inbox.
struct Submitter {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    index: usize,
    overlay: Arc<Overlay>,
}

#[async_trait]
impl Submit for Submitter {
    async fn submit(&self, messages: Vec<Message>) -> Result<(), Failure> {
        let submitter = &self.shared.names[self.index];
        let born = self.shared.now().as_millisecond();
        let rows = messages.into_iter().map(|mut message| {
            crate::post::drop_password(&mut message.base_url);
            InboxRow {
                id: 0,
                key: nodupe::item_key(submitter, &message),
                submitter: submitter.clone(),
                message,
                born,
            }
        });
        self.inbox.put(rows.collect(), self.overlay.take()).await
    }
}
